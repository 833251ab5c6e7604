"""Replaces passwords and keys in whatever goes into a bundle. Pure.

Known values are replaced wherever they stand, in every spelling in which programs print them. Others are
found by their form: private keys in PEM, and what follows the name of a password, a secret or a token.
"""

import base64
import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Final
from urllib.parse import quote, quote_plus

from lab.bundle.model import Entry, Evidence
from lab.bundle.questions import CONTAINERS_PATH, CREDENTIALS_PATH, SPEC_PATH
from lab.checks.values import Data
from lab.errors import LabError
from lab.labels import POD_SPEC
from lab.observe.model import Output, known
from lab.observe.parse import parse_environment
from lab.pods import PodSpec
from lab.spec import LabSpec

__all__ = ["LEAST", "MARK", "Redaction", "redaction_for", "redaction_of"]

MARK: Final = "[redacted]"

LEAST: Final = 4
"""Characters of a value that is replaced wherever it stands. A shorter one, such as 1 or no, is in any text:
it is replaced only after the variable's name."""

SENSITIVE = "|".join(
    [
        r"passw(?:or)?d|passphrase|mysql_pwd|secret|token",
        r"(?:private|pre-?shared|api|access|auth|encryption|signing|fastopen)[ _-]?key",
        r"(?<![a-z0-9])psk(?![a-z0-9])",  # no part of a random identifier
    ]
)
"""What a name has in it, if what it names is not to be seen."""

VALUE = r"(?!\[redacted\]|(?:YES|NO)\b)(?:[^\s\"',;&}\]\\]|\\(?![\"']))+"
"""What follows a name, up to a blank, a quote (also one in JSON in JSON) or a separator.

MySQL says `using password: YES`, which is no secret.
"""

KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
KEY_END = re.compile(r"-----END [A-Z ]*PRIVATE KEY-----")
KEY_LINE = re.compile(r"[A-Za-z0-9+/=]{32,}")
"""PEM (RFC 7468), of which a line has 64 characters, and the last one may have fewer."""

IN_URL = re.compile(r"(://[^/\s:@\"']*:)[^/\s@\"']+(?=@)")
GENERATED = re.compile(r"(temporary password[^\n:]*:[ \t]*)(?!\[redacted\])\S+")
"""MySQL's own, of a server that was given none."""
AUTHORIZATION = re.compile(r"(\b(?:Bearer|Basic)\s+)(?!\[redacted\])[\w+/=.~-]{8,}")
OPTION = re.compile(
    rf"((?:^|\s)--?[\w-]*?(?:password|passwd|secret|token)[\w-]*[ \t]+)(?![-=]){VALUE}", re.I | re.M
)


SHORT: Final = 100
"""Characters of a text of which it is remembered what becomes of it."""


@dataclass(frozen=True)
class Redaction:
    """What is to be replaced: values, and what follows the names of variables."""

    values: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()

    @cached_property
    def _values(self) -> re.Pattern[str] | None:
        found = {spelling for value in self.values for spelling in _spellings(value)}
        if not found:
            return None
        return re.compile("|".join(re.escape(each) for each in sorted(found, key=lambda it: (-len(it), it))))

    @cached_property
    def _named(self) -> re.Pattern[str]:
        names = [rf"(?<![\w-]){re.escape(name)}" for name in sorted(self.names)]
        words = "|".join([*names, rf"(?i:{SENSITIVE})[\w-]*"])
        return re.compile(rf"((?:{words})\\?[\"']?[ \t]*[=:][ \t]*\\?[\"']?){VALUE}")

    def text(self, text: str) -> str:
        """A text without secrets."""
        return self._short(text) if len(text) <= SHORT else self._without_secrets(text)

    @cached_property
    def _short(self) -> Callable[[str], str]:
        """The same keys and values stand in JSON again and again."""
        return lru_cache(maxsize=10_000)(self._without_secrets)

    def _without_secrets(self, text: str) -> str:
        if self._values is not None:
            text = self._values.sub(MARK, text)
        text = _without_keys(text)
        for pattern in (GENERATED, self._named, OPTION, IN_URL, AUTHORIZATION):
            text = pattern.sub(rf"\g<1>{MARK}", text)
        return text

    def data(self, data: Data) -> Data:
        """What JSON can express, without secrets in its texts, and without what environments hold."""
        if isinstance(data, str):
            return self.text(data)
        if isinstance(data, Mapping):
            return {self.text(key): self._member(key, value) for key, value in data.items()}
        if isinstance(data, Sequence):
            return [self.data(item) for item in data]
        return data

    def _member(self, key: str, value: Data) -> Data:
        if key == "Env" and isinstance(value, Sequence) and not isinstance(value, str):  # of docker inspect
            return [f"{str(item).partition('=')[0]}={MARK}" for item in value]
        if isinstance(value, str) and value and re.search(rf"(?:{SENSITIVE})\Z", key, re.I):
            return MARK
        return self.data(value)

    def entry(self, entry: Entry) -> Entry:
        """A file without secrets, and as a text.

        Bytes are packets, of which the machine itself has told only headers (`lab.bundle.inside.packets`).
        """
        if isinstance(entry.content, bytes):
            return replace(entry, command=self.text(entry.command))
        content = self.data(entry.content)
        text = (
            content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        )
        return replace(entry, content=text, command=self.text(entry.command))


def _without_keys(text: str) -> str:
    """A text without private keys, also without the rest of one whose first lines a log no longer has."""
    if "PRIVATE KEY-----" not in text:
        return text
    lines = KEY.sub(MARK, text).splitlines(keepends=True)
    for number, line in enumerate(lines):
        if KEY_END.search(line):
            first = number
            while first and (KEY_LINE.search(lines[first - 1]) or first == number):
                first -= 1
            lines[first : number + 1] = [f"{MARK}\n", *[""] * (number - first)]
    return "".join(lines)


def _spellings(value: str) -> Iterator[str]:
    """A value as programs print it: plain, in JSON (also Go's), in a shell's quotes, in a URL, in base64."""
    if len(value) < LEAST:
        return
    yield value
    yield from (line for line in value.splitlines() if len(line) >= 2 * LEAST)
    for plain in (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]):
        yield plain
        yield plain.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")
        yield json.dumps(plain, ensure_ascii=False)[1:-1]  # JSON in JSON, as in a label
    yield shlex.quote(value)
    yield quote(value, safe="")
    yield quote_plus(value)
    yield base64.b64encode(value.encode()).decode().rstrip("=")


def redaction_for(evidence: Evidence) -> Redaction:
    """What is to be replaced in a bundle made from this: above all, what the pods' variables hold."""
    given = (output.stdout for output in _answers(evidence, CREDENTIALS_PATH))
    found = redaction_of(evidence.spec, _pods(evidence), given)
    names, values = set(found.names), set(found.values)
    for variables, pairs in _environments(evidence):
        names |= variables
        values |= {value for name, value in pairs if name in variables or _is_sensitive(name)}
    return Redaction(frozenset(value for value in values if value), frozenset(names))


def redaction_of(spec: LabSpec, pods: Iterable[PodSpec], credentials: Iterable[str] = ()) -> Redaction:
    """What is to be replaced in what a lab shows: what these pods' variables hold, the secrets in flannel's
    configuration, and the passwords in files with etcd's credentials.
    """
    names: set[str] = set()
    values = set(_of_flannel(spec))
    for pod in pods:
        for container in pod.containers:
            names |= {variable.name for variable in container.env}
            values |= {variable.value for variable in container.env} | set(container.environment.values())
    for text in credentials:
        given = parse_environment(text)
        values |= {value for name, value in given.items() if name.endswith("PASSWORD")}
    return Redaction(frozenset(value for value in values if value), frozenset(names))


def _is_sensitive(name: str) -> bool:
    return re.search(SENSITIVE, name, re.I) is not None


def _pods(evidence: Evidence) -> Iterator[PodSpec]:
    yield from evidence.spec.pods
    for output in _answers(evidence, SPEC_PATH):
        try:
            yield from LabSpec.from_json(output.stdout).pods
        except LabError:  # it could not be read there: then the containers themselves have the values
            continue


def _environments(evidence: Evidence) -> Iterator[tuple[set[str], list[tuple[str, str]]]]:
    """Of each container: the variables that its pod names, and all that it has."""
    for output in _answers(evidence, CONTAINERS_PATH):
        for config in _configs(output.stdout):
            pairs = [item.partition("=") for item in config.get("Env") or () if isinstance(item, str)]
            yield _variables(config), [(name, value) for name, _, value in pairs]


def _configs(text: str) -> Iterable[Mapping[str, list[str] | Mapping[str, str] | None]]:
    try:
        return [item["Config"] for item in json.loads(text)]
    except (ValueError, KeyError, TypeError):
        return ()


def _variables(config: Mapping[str, list[str] | Mapping[str, str] | None]) -> set[str]:
    labels = config.get("Labels")
    try:
        pod = PodSpec.model_validate_json(labels.get(POD_SPEC, "") if isinstance(labels, Mapping) else "")
    except ValueError:  # no container of a pod
        return set()
    return {variable.name for container in pod.containers for variable in container.env}


def _answers(evidence: Evidence, path: str) -> Iterator[Output]:
    for machine in evidence.machines:
        answers = known(machine.answers) or {}
        if path in answers:
            yield answers[path]


def _of_flannel(spec: LabSpec) -> Iterator[str]:
    """The values in flannel's configuration and options that are called like a secret."""
    with suppress(ValueError):
        yield from _members(json.loads(spec.flannel_config))
    words = [word for node in spec.nodes for word in node.flanneld.options]
    for word in (*spec.flanneld_options, *words):
        name, _, value = word.partition("=")
        if value and _is_sensitive(name):
            yield value


def _members(data: Data) -> Iterator[str]:
    if isinstance(data, Mapping):
        for key, value in data.items():
            if isinstance(value, str) and _is_sensitive(key):
                yield value
            yield from _members(value)
    elif isinstance(data, Sequence) and not isinstance(data, str):
        for item in data:
            yield from _members(item)
