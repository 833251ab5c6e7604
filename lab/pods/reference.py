"""Image names, parsed and normalized as by Docker (the grammar of distribution/reference)."""

import re
from dataclasses import dataclass

__all__ = ["ImageName", "image_name", "name_on_machine"]

DOMAIN = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*"
DOMAIN += r"|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
TAG = r"[A-Za-z0-9_][\w.-]{0,127}"
ALGORITHM = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*"
DIGEST = rf"{ALGORITHM}:[0-9a-fA-F]{{32,}}"

NAME = re.compile(rf"(?:{DOMAIN}/)?{COMPONENT}(?:/{COMPONENT})*", re.ASCII)
REFERENCE = re.compile(rf"(?P<name>[^@]+?)(?::(?P<tag>{TAG}))?(?:@(?P<digest>{DIGEST}))?", re.ASCII)
IDENTIFIER = re.compile(r"[0-9a-f]{64}")

HUB, HUB_ONCE, OFFICIAL = "docker.io", "index.docker.io", "library/"
LONGEST = 255
"""Maximum length in characters of a name without tag and digest."""

HEX_DIGITS = {"sha256": 64, "sha384": 96, "sha512": 128}
"""Digits of the digest algorithms that Docker supports."""


@dataclass(frozen=True, slots=True)
class ImageName:
    """The full name of an image."""

    repository: str
    """Including the registry's host, such as docker.io/library/mysql."""
    tag: str
    """`latest` if the name has neither tag nor digest; empty if it has only a digest."""
    digest: str
    """Such as sha256:...; empty if there is none."""


def name_on_machine(text: str) -> str:
    """Return the name of this image on a node after it was copied there. Raises `ValueError`.

    A digest belongs to a registry, and engines do not keep it when they load an image; on the node it becomes
    the tag.
    """
    name = image_name(text)
    return f"{name.repository}:{name.digest.replace(':', '-')}" if name.digest else text


def image_name(text: str) -> ImageName:
    """Parse an image name. Raises `ValueError`."""
    found = REFERENCE.fullmatch(text)
    if IDENTIFIER.fullmatch(text):
        raise ValueError(f"{text!r} is an image ID; expected a name")
    if found is None or not NAME.fullmatch(found["name"]):
        hint = "; names are lower-case" if text != text.lower() and _fits(text.lower()) else ""
        raise ValueError(
            f"{text!r} is not an image name: expected [HOST[:PORT]/]NAME[:TAG][@sha256:DIGITS]{hint}"
        )
    digest = found["digest"] or ""
    algorithm, _, digits = digest.partition(":")
    if digest and (len(digits) != HEX_DIGITS.get(algorithm) or digits != digits.lower()):
        raise ValueError(
            f"{text!r}: {digest!r} is not a digest: expected sha256: and 64 lower-case hexadecimal digits"
        )
    repository = _normalized(found["name"])
    if len(repository) > LONGEST:
        raise ValueError(f"{text!r} is too long: an image name has at most {LONGEST} characters")
    return ImageName(repository, found["tag"] or ("" if digest else "latest"), digest)


def _fits(text: str) -> bool:
    found = REFERENCE.fullmatch(text)
    return found is not None and NAME.fullmatch(found["name"]) is not None


def _normalized(name: str) -> str:
    """Normalize a name; what precedes the first `/` is a host only if it cannot be anything else."""
    first, slash, rest = name.partition("/")
    if not slash or (not re.search(r"[.:]", first) and first != "localhost" and first == first.lower()):
        first, rest = HUB, name
    if first in {HUB, HUB_ONCE}:
        return f"{HUB}/{rest if '/' in rest else OFFICIAL + rest}"
    return f"{first}/{rest}"
