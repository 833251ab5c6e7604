"""A lab's beginning and end: up, down, and the removal of what a killed run left."""

import queue
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lab import checks, images, labels, lock, threads
from lab.cluster.fleet import Fleet, addressed
from lab.cluster.lab import Lab, maker_of, names, remove_all
from lab.cluster.making import Making
from lab.cluster.perform import perform
from lab.cluster.plan import MakeNetwork, MakeNode, Step, plan_up
from lab.engine import Engine, EngineUnavailable
from lab.errors import LabError, Unfit
from lab.events import Reporter
from lab.labels import HOST, NAME
from lab.naming import Maker, name_option, ourselves
from lab.node.credentials import make_credentials
from lab.node.files import SPEC_FILE, node_files, spec_keeper
from lab.signals import Deferred, shielded
from lab.spec import LabSpec

__all__ = ["Outcome", "Witness", "another_maker", "build", "down", "foresee", "gc", "remove_unfinished", "up"]


Witness = Callable[[Exception, Reporter], None]
"""Is called when a step has failed, while everything that was made is still there. May raise."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What `lab up` came to."""

    lab: Lab
    findings: tuple[checks.Finding, ...]
    made: bool
    """False when the lab was up already and nothing was done."""


def up(
    engine: Engine,
    spec: LabSpec,
    progress: Reporter,
    *,
    retain: bool = False,
    witness: Witness | None = None,
) -> Outcome:
    """Bring a lab up, whole; or, if it is up, look at it.

    What a killed run left under this name is removed first. When a step fails, or on Ctrl-C, everything
    that was made is removed again, unless `retain`; what could not be is told in notes of the exception.
    Of a step that fails the witness is told before. Raises `LabError`.
    """
    spec = addressed(spec)
    with lock.held(engine.id, spec.name):
        there = Lab.find(engine, spec.name)
        if there is not None and there.complete:
            return _look(there, spec)
        remove_unfinished(engine, spec.name, progress)
        return build(engine, spec, progress, retain=retain, witness=witness, finish=True)


def remove_unfinished(engine: Engine, name: str, progress: Reporter) -> None:
    """Remove what a killed run left under this name; the caller holds the lab's lock. Raises `LabError`."""
    _refuse_anothers(engine, name)
    for leftover in _remove(engine, name):
        progress.note(f"removed what an unfinished run left: {leftover}")


def foresee(spec: LabSpec) -> tuple[tuple[Step, ...], str]:
    """The steps that `up` would take now, and in words what it would find; it makes and starts nothing.

    Raises `LabError` where `up` would, for what can be seen beforehand.
    """
    steps = plan_up(spec)
    try:
        engine = Engine.connect()
    except EngineUnavailable as error:
        return steps, f"An engine first: {error.message}"
    spec = addressed(spec)
    there = Lab.find(engine, spec.name)
    if there is None or not there.complete:
        Fleet.of(engine, spec.engines).require_whole()
    if there is None:
        return steps, ""
    if there.complete:
        _must_be(there, spec)
        return (replace(steps[-1], needs=frozenset()),), f"The lab {spec.name} is up already."
    if lock.is_held(engine.id, spec.name):
        return steps, f"Another process is working on the lab {spec.name} right now."
    _refuse_anothers(engine, spec.name)
    return steps, f"What an unfinished run left of the lab {spec.name} would be removed first."


def _look(there: Lab, spec: LabSpec) -> Outcome:
    _must_be(there, spec)
    return Outcome(there, tuple(checks.run_all(there)), made=False)


def _must_be(there: Lab, spec: LabSpec) -> None:
    """Raise unless the lab that is up is whole, and the one that is wanted."""
    again = f"First: lab down{name_option(spec.name)}; then this again."
    if there.maker != ourselves():
        again = f"{there.maker} made it; a lab of one's own has another --name, which LAB_NAME sets."
    if there.missing:
        raise LabError(f"the lab {spec.name} is up, but not whole: {', '.join(there.missing)}", hint=again)
    made_from = there.node(spec_keeper(there.spec)).run(["cat", SPEC_FILE], check=False).output
    if there.spec != spec.public() or made_from != spec.to_json():
        raise LabError(f"the lab {spec.name} is up, but was made from another lab file", hint=again)


def build(
    engine: Engine,
    spec: LabSpec,
    progress: Reporter,
    *,
    retain: bool = False,
    witness: Witness | None = None,
    finish: bool = False,
) -> Outcome:
    """Make a lab from nothing; the caller holds its lock. Raises `LabError`, having removed what it made.

    With `finish` it gets the mark of completeness: last of all, so that it is there only if everything else
    is. Signals are heeded while steps are waited for, and at no other moment: what is left is the whole lab,
    or nothing, or told in a note of the exception.
    """
    spec = addressed(spec)
    credentials = make_credentials(spec)
    files = {node.name: node_files(spec, node, engine.arch, credentials) for node in spec.nodes}
    making = Making(engine, spec, files)
    making.fleet.require_whole()
    with shielded() as signals:
        try:
            perform(
                plan_up(spec),
                making.act,
                progress,
                making.cancel,
                signals,
                lasting=(MakeNetwork, MakeNode),
            )
            outcome = Outcome(making.lab, making.findings, made=True)
            if finish:
                signals.heed()
                engine.create_volume(labels.mark(spec.name), labels.of_mark(spec.name))
        except BaseException as error:
            if witness is not None and isinstance(error, Exception):
                _call(witness, error, progress, signals)
            if retain:
                progress.note(f"left as it is (--retain); remove it with: lab down{name_option(spec.name)}")
            else:
                with progress.step("remove what was made (lab up --retain leaves it to look at)"):
                    _undo(making, error)
            raise
    return outcome


def _call(witness: Witness, error: Exception, progress: Reporter, signals: Deferred) -> None:
    """Let the witness look for as long as no signal comes; whatever becomes of that, the lab is removed."""
    ended: queue.SimpleQueue[threads.Task[None]] = queue.SimpleQueue()
    threads.start(lambda: witness(error, progress), tell=ended.put)
    try:
        threads.receive(ended, signals.heed).result()
    except KeyboardInterrupt:
        error.add_note("There is no bundle: collecting it was interrupted")
    except LabError as failed:
        error.add_note(f"There is no bundle: {failed.message}")
    except Exception as failed:  # noqa: BLE001 - a defect of ours, which is told; the lab still has to be removed
        error.add_note(f"There is no bundle: a defect of the lab itself: {type(failed).__name__}: {failed}")


def _undo(making: Making, error: BaseException) -> None:
    """Remove what was made; what may be left all the same is told with the error."""
    try:
        _remove(making.engine, making.spec.name)
    except LabError as failed:
        error.add_note("\n".join([f"Not all of it could be removed: {failed.message}", *failed.__notes__]))
    if making.unsure:
        what = ", ".join(sorted(making.unsure))
        error.add_note(
            f"The engine may still be at work on this: {what}. Once it has ended, remove what it left: lab gc"
        )


def _remove(engine: Engine, name: str) -> Sequence[str]:
    """Remove all of a lab, which no signal disturbs; answers what was removed, in words."""
    with shielded():
        try:
            return list(remove_all(engine, name))
        except LabError as error:
            error.add_note(f"Remove what is left of the lab {name} with: lab down{name_option(name)}")
            raise


def another_maker(engine: Engine, name: str) -> Maker | None:
    """Who made the lab of this name, if that was not us."""
    maker = maker_of(engine, name)
    return None if maker == ourselves() else maker


def _refuse_anothers(engine: Engine, name: str) -> None:
    maker = another_maker(engine, name)
    if maker is not None:
        raise Unfit(
            f"the lab {name} is not ours: {maker} made it, and this is {ourselves()}",
            hint=f"To remove it all the same: lab down{name_option(name)} --force\n"
            "A lab of one's own has another --name, which LAB_NAME sets for all commands.",
        )


def down(engine: Engine, name: str, *, force: bool = False) -> Sequence[str]:
    """Remove a lab, another's only if `force`; answers what was removed: nothing, if there is none.

    Raises `LabError` when it is being made, or somebody else has made it.
    """
    with lock.held(engine.id, name), shielded():
        if not force:
            _refuse_anothers(engine, name)
        return _remove(engine, name)


def gc(engine: Engine) -> Sequence[str]:
    """Remove what killed runs left: unfinished labs made on this machine that no process works on.

    Also what a killed image build left. Answers what was removed, in words.
    """
    removed = [f"unfinished {name}" for name in images.sweep(engine)]
    for name in names(engine):
        if not _is_left(engine, name):
            continue
        try:
            with lock.held(engine.id, name):
                if _is_left(engine, name):  # and was not finished meanwhile
                    removed += _remove(engine, name)
        except lock.Busy:
            continue
    return removed


def _is_left(engine: Engine, name: str) -> bool:
    """Whether what there is of a lab was made on this machine, and never finished."""
    networks = engine.networks({NAME: name})
    if any(item.labels.get(HOST) != socket.gethostname() for item in networks):
        return False
    return not (networks and engine.volume(labels.mark(name)))
