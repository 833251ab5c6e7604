"""Bundles about the labs of tests that fail."""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from lab.bundle.collect import collect
from lab.bundle.destination import Destination
from lab.bundle.recording import recording
from lab.cluster import Lab
from lab.cluster.lifecycle import Witness
from lab.engine import Engine
from lab.errors import LabError
from lab.events import Kept, Reporter
from lab.spec import LabSpec

__all__ = ["AT_MOST", "Bundles", "current_test"]

AT_MOST = 10
"""So many bundles a process leaves: where everything fails, the first ones say why."""


def current_test(environment: Mapping[str, str] = os.environ) -> str:
    """The name of the test that runs, without its file and its phase; empty outside of one."""
    test, _, _phase = environment.get("PYTEST_CURRENT_TEST", "").rpartition(" ")
    return test.rpartition("::")[2]


class Bundles:
    """Where they go, which were left for the test that runs, and what is known of each lab's making."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        """None: no bundles."""
        self.packets = True
        """Whether labs keep their last packets for them."""
        self._left: list[str] = []
        self._count = 0
        self._made: dict[str, tuple[LabSpec, Kept]] = {}

    def witness(self, engine: Engine, spec: LabSpec, kept: Kept) -> Witness:
        """Who leaves a bundle about a lab that could not be made; of one that could, its making is known."""
        self._made[spec.name] = (spec, kept)

        def witness(error: Exception, _progress: Reporter) -> None:
            self._leave(engine, spec, kept, f"The lab of a test could not be made: {error}")

        return witness

    def recording(self, lab: Lab, progress: Reporter) -> AbstractContextManager[None]:
        """Have a lab keep its last packets for them, for as long as the context is open."""
        return recording(lab, progress) if self.folder is not None and self.packets else nullcontext()

    def leave(self, lab: Lab, error: object) -> None:
        """Leave one about a lab whose test has failed, unless there are many already."""
        spec, kept = self._made.get(lab.name, (lab.spec, Kept()))
        self._leave(lab.engine, spec, kept, f"The test {current_test()} has failed: {error}")

    def _leave(self, engine: Engine, spec: LabSpec, kept: Kept, why: str) -> None:
        if self.folder is None or self._count >= AT_MOST:
            return
        self._count += 1
        into, about = Destination(self.folder, folder=True), current_test()[:100]
        try:
            made = collect(engine, spec, into, Reporter(), why=why, about=about, events=kept.events)
        except LabError as error:
            self._left.append(f"none: {error.message}")
        else:
            self._left.append(str(made["file"]))

    def take(self) -> list[str]:
        """Those that were left since this was asked last: files, or why there is none."""
        left, self._left = self._left, []
        return left

    def forget(self) -> None:
        """Remove those: what has failed was to fail."""
        for file in self.take():
            Path(file).unlink(missing_ok=True)
            self._count -= 1
