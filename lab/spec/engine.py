"""The engines that a lab's machines are spread over. Pure."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle

from lab.engine.endpoint import parse
from lab.errors import Unfit
from lab.spec.node import NodeSpec
from lab.suggest import suggest
from lab.validation import Model

__all__ = [
    "FIRST_OF_ENGINES",
    "UNREACHED",
    "EngineSpec",
    "Wanted",
    "engine_problems",
    "engines_in",
    "host_problem",
    "label_words",
    "spread",
]


FIRST_OF_ENGINES = 240
"""In a network of several engines each has an address for itself, from this host part up."""


UNREACHED = "unreached"
"""The state of a machine whose engine does not answer, beside those that engines have words for."""


Wanted = str | Mapping[str, str]
"""What a node wants of its engine: its name, or labels; none: any."""


class EngineSpec(Model):
    """A Docker engine, by a name of the lab file's."""

    name: str
    host: str = ""
    """As DOCKER_HOST has it."""
    context: str = ""
    """The context of Docker's client that says the host, and has the certificates, if there are any. A lab
    that stands has the host as well, so that it is found where the context is not known."""
    labels: Mapping[str, str] = {}
    """By which nodes choose it."""

    @property
    def is_home(self) -> bool:
        """Whether it is the one that the environment selects."""
        return not self.host and not self.context


def engines_in(label: str) -> tuple[EngineSpec, ...]:
    """The engines that a lab's label names, whichever version wrote it: what they have is to be removed."""
    try:
        given = json.loads(label)
        return tuple(EngineSpec.model_validate(item) for item in given.get("engines", ()))
    except (ValueError, AttributeError, TypeError):  # not as any version writes it
        return ()


def host_problem(host: str) -> str:
    """What is wrong with the address of an engine, or ""."""
    try:
        parse(host, named=f"host: {host}")
    except Unfit as error:
        return error.message
    return ""


def engine_problems(
    engines: Sequence[EngineSpec], nodes: Sequence[NodeSpec], wanted: Sequence[Wanted]
) -> Iterator[str]:
    """Yield what is wrong with a lab file's engines, and with what the nodes want, each in its place."""
    names = [engine.name for engine in engines]
    for index, engine in enumerate(wanted):
        if not engine or _fitting(engine, engines):
            continue
        if isinstance(engine, str):
            maybe = suggest(engine, names, "engines") if names else "; the file has no `engines`"
            yield f"nodes[{index}].engine: there is no engine {engine}{maybe}"
        else:
            every = (f"{item.name}: {label_words(item.labels) or 'none'}" for item in engines)
            has = "; ".join(every) or "the file has no `engines`"
            yield f"nodes[{index}].engine: no engine has the labels {label_words(engine)}; {has}"
    if not engines:
        return
    for node in nodes:
        for place in node.attachments:
            if place.host >= FIRST_OF_ENGINES:
                yield f"{node.name}: expected a host below {FIRST_OF_ENGINES}, where the engines' own begin"
    if len(engines) == 1:
        yield "engines: expected two or more; a lab on one is on that of DOCKER_HOST, without this key"
    for name, number in Counter(names).items():
        if number > 1:
            yield f"engines: two are called {name}"
    homes = [engine.name for engine in engines if engine.is_home]
    if len(homes) != 1:
        has = f"{', '.join(homes)} have none" if homes else "each has one"
        yield (
            f"engines: expected one without `host` or `context`, that of the environment (DOCKER_HOST); {has}"
        )
    hosts = Counter(engine.host for engine in engines if engine.host)
    for host, number in hosts.items():
        if number > 1:
            yield f"engines: two have the host {host}; a machine's engine is named once"
    contexts = Counter(engine.context for engine in engines if engine.context)
    for context, number in contexts.items():
        if number > 1:
            yield f"engines: two have the context {context}; a machine's engine is named once"


def spread(
    nodes: Sequence[NodeSpec], wanted: Sequence[Wanted], engines: Sequence[EngineSpec]
) -> tuple[NodeSpec, ...]:
    """Return the nodes with an engine each, where there are several.

    Nodes that want the same of it, or nothing, are on each engine that has that in turn.
    """
    turns: dict[str, Iterator[str]] = {}

    def next_of(engine: Wanted) -> str:
        fitting = _fitting(engine, engines) or [""]
        return next(turns.setdefault(repr(engine), cycle(fitting)))

    return tuple(
        node.model_copy(update={"engine": next_of(engine)})
        for node, engine in zip(nodes, wanted, strict=True)
    )


def _fitting(wanted: Wanted, engines: Sequence[EngineSpec]) -> list[str]:
    """The names of the engines that are what a node wants."""
    if isinstance(wanted, str):
        return [engine.name for engine in engines if wanted in ("", engine.name)]
    return [engine.name for engine in engines if wanted.items() <= engine.labels.items()]


def label_words(labels: Mapping[str, str]) -> str:
    """Labels for a person, such as `disk=ssd, room=2`."""
    return ", ".join(f"{key}={value}" for key, value in labels.items())
