"""What a machine has answered, as files. Pure."""

import base64
import json
import re
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from lab.bundle import questions
from lab.bundle.model import Entry, Form, Machine, Question
from lab.checks.values import Data
from lab.observe import journal
from lab.observe.model import Output, Silent, known

__all__ = ["entries", "file_name", "journals", "unit_journals"]

UNSAFE = re.compile(r"[^A-Za-z0-9._@-]")


def file_name(text: str) -> str:
    """A name of something, as one of a file in any file system."""
    return UNSAFE.sub("_", text).lstrip(".") or "_"


def entries(machine: Machine) -> Iterator[Entry]:
    """The files about a machine; of one that does not answer, what the engine knows, and why."""
    folder = f"nodes/{file_name(machine.name)}"
    if isinstance(machine.answers, Silent):
        told = f"{machine.name} has told nothing: {machine.answers.reason}\n"
        when = f"Its container is {machine.state}. It was asked at {machine.answers.since.isoformat()}.\n"
        yield Entry(f"{folder}/silent.txt", told + when, machine.name)
    if machine.container is not None:
        yield Entry(f"{folder}/container.json", machine.container, machine.name)
    if machine.console:
        yield Entry(f"{folder}/console.log", machine.console, machine.name)
    for question, output in _answered(machine):
        if question.form is Form.PACKETS:
            files, within = _packets(f"{question.path}/{file_name(machine.name)}", output), ""
        else:
            files, within = _files(question, output), f"{folder}/"
        for path, content in files.items():
            yield Entry(f"{within}{path}", content, machine.name, question.words, output.exit_code)


def journals(machine: Machine) -> list[journal.Line]:
    """Everything in a machine's journal."""
    longest: list[journal.Line] = []
    for question, output in _answered(machine):
        if question.form is Form.JOURNAL:
            lines, _ = journal.lines_of(output.stdout)
            longest = max(longest, lines, key=len)
    return longest


def unit_journals(machine: Machine, units: Collection[str]) -> Iterator[journal.Line]:
    """What the journals of these units have, as far as they were asked for."""
    wanted = {questions.journal_path(unit) for unit in units}
    for question, output in _answered(machine):
        if question.path in wanted:
            yield from journal.lines_of(output.stdout)[0]


def _answered(machine: Machine) -> Iterator[tuple[Question, Output]]:
    answers = known(machine.answers) or {}
    for question in machine.asked:
        if question.path in answers:
            yield question, answers[question.path]


def _files(question: Question, output: Output) -> Mapping[str, Data]:
    match question.form:
        case Form.SECRETS:
            return {}
        case Form.JOURNAL:
            lines, others = journal.lines_of(output.stdout)
            rest = "".join(f"{line}\n" for line in others)
            return {question.path: journal.shown(lines) + rest + _complaint(output)}
        case Form.LOGS:
            return _logs(question.path, output)
        case Form.CONTAINERS | Form.KEYS if output.exit_code == 0:
            read = _keys if question.form is Form.KEYS else _any
            try:
                return {question.path: read(json.loads(output.stdout))}
            except (ValueError, KeyError, TypeError, AttributeError):
                return {question.path: _told(output)}
        case _:
            return {question.path: _told(output)}


def _told(output: Output) -> str:
    return output.stdout + _complaint(output)


def _complaint(output: Output) -> str:
    """How a command ended, after what it has printed; nothing where all went well."""
    said = output.stderr.strip()
    if output.exit_code == 0 and not said:
        return ""
    gap = "\n" if output.stdout and not output.stdout.endswith("\n") else ""
    parts = [f"exit status {output.exit_code}"] if output.exit_code else []
    parts += [f"on standard error:\n{said}"] if said else []
    return f"{gap}--- {', and '.join(parts)}\n"


def _logs(folder: str, output: Output) -> Mapping[str, Data]:
    found: dict[str, Data] = {}
    others = []
    for line in output.stdout.splitlines():
        try:
            told = json.loads(line)
            end = f"--- exit status {told['status']} of docker logs\n" if told["status"] else ""
            found[f"{folder}/{file_name(told['container'])}.log"] = f"{told['log']}{end}"
        except (ValueError, KeyError, TypeError):
            others.append(line)
    return {**found, **_incomplete(f"{folder}/incomplete.txt", others, output)}


def _packets(stem: str, output: Output) -> Mapping[str, Data | bytes]:
    """Of each device a file for Wireshark and its like, and one to read; nothing if none were kept."""
    found: dict[str, Data | bytes] = {}
    others = []
    for line in output.stdout.splitlines():
        try:
            told = json.loads(line)
            name, data = file_name(told["device"]), zlib.decompress(base64.b64decode(told["pcap"]))
            found[f"{stem}-{name}.pcap"], found[f"{stem}-{name}.log"] = data, told["text"]
        except (ValueError, KeyError, TypeError, zlib.error):
            others.append(line)
    return {**found, **_incomplete(f"{stem}-incomplete.txt", others, output)}


def _incomplete(path: str, others: Iterable[str], output: Output) -> Mapping[str, str]:
    """What a program has printed that is no part of its answer, and how it ended, if not well."""
    rest = "".join(f"{line}\n" for line in others)
    told = rest + _complaint(replace(output, stdout=rest))
    return {path: told} if told else {}


def _any(document: Data) -> Data:
    return document


def _keys(document: Mapping[str, Any]) -> Data:
    """Etcd's keys as a person reads them: etcdctl writes keys and values in base64."""
    return {
        "revision": document["header"]["revision"],
        "consistency": {"l": "linearizable", "s": "serializable"}[document["consistency"]],
        "keys": [
            {
                "key": _decoded(item["key"]),
                "value": _decoded(item.get("value", "")),
                "createRevision": item["create_revision"],
                "modRevision": item["mod_revision"],
                "version": item["version"],
                "lease": _lease(item.get("lease", 0), document["leases"]),
            }
            for item in document.get("kvs", ())
        ],
    }


def _lease(number: int, leases: Mapping[str, Mapping[str, int] | None]) -> Data:
    """The etcd lease that a key is attached to; its identifier as etcdctl takes it."""
    if not number:
        return None
    told = leases.get(str(number)) or {}
    return {"id": format(number, "x"), "secondsLeft": told.get("ttl"), "secondsGranted": told.get("granted")}


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode(errors="backslashreplace")
