"""Names of images, read as Docker reads them: the grammar of distribution/reference, normalized as there."""

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
"""Characters of a name without tag and digest."""

HEX_DIGITS = {"sha256": 64, "sha384": 96, "sha512": 128}
"""Of the digests that Docker knows."""


@dataclass(frozen=True, slots=True)
class ImageName:
    """An image's name, in full."""

    repository: str
    """With the registry's host, such as docker.io/library/mysql."""
    tag: str
    """`latest` where the name has neither tag nor digest; empty where it has a digest alone."""
    digest: str
    """Such as sha256:...; empty if there is none."""


def name_on_machine(text: str) -> str:
    """What an image of this name is called on a machine, to which it is carried. Raises `ValueError`.

    A digest is a registry's, and no engine keeps it when an image is loaded: there it is the tag.
    """
    name = image_name(text)
    return f"{name.repository}:{name.digest.replace(':', '-')}" if name.digest else text


def image_name(text: str) -> ImageName:
    """Read an image's name. Raises `ValueError`."""
    found = REFERENCE.fullmatch(text)
    if IDENTIFIER.fullmatch(text):
        raise ValueError(f"{text!r} is an image's identifier; expected a name")
    if found is None or not NAME.fullmatch(found["name"]):
        hint = "; a name has small letters only" if text != text.lower() and _fits(text.lower()) else ""
        raise ValueError(
            f"{text!r} is no image's name: expected [HOST[:PORT]/]NAME[:TAG][@sha256:DIGITS]{hint}"
        )
    digest = found["digest"] or ""
    algorithm, _, digits = digest.partition(":")
    if digest and (len(digits) != HEX_DIGITS.get(algorithm) or digits != digits.lower()):
        raise ValueError(f"{text!r}: {digest!r} is no digest: expected sha256: and 64 of 0-9 and a-f")
    repository = _normalized(found["name"])
    if len(repository) > LONGEST:
        raise ValueError(f"{text!r} is too long: an image's name has at most {LONGEST} characters")
    return ImageName(repository, found["tag"] or ("" if digest else "latest"), digest)


def _fits(text: str) -> bool:
    found = REFERENCE.fullmatch(text)
    return found is not None and NAME.fullmatch(found["name"]) is not None


def _normalized(name: str) -> str:
    """What comes before the first `/` is a host if it could be nothing else."""
    first, slash, rest = name.partition("/")
    if not slash or (not re.search(r"[.:]", first) and first != "localhost" and first == first.lower()):
        first, rest = HUB, name
    if first in {HUB, HUB_ONCE}:
        return f"{HUB}/{rest if '/' in rest else OFFICIAL + rest}"
    return f"{first}/{rest}"
