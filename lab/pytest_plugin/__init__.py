"""The pytest plugin: labs for anybody's tests.

pytest loads it wherever overlay-lab is installed, so by itself it imports nothing of the laboratory: that
comes with the first lab that a test asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lab.cluster import Lab
    from lab.engine import Engine
    from lab.node import Node
    from lab.pytest_plugin.labs import MakeLab, PodAccess

__all__ = ["lab", "lab_engine", "lab_file", "make_lab", "node", "pod"]

SCOPES = ("session", "module", "function")
MARKER = "lab(file): the test has a lab of this lab file, by its path relative to the test's own file"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    add = parser.getgroup("lab", "labs of overlay networks (overlay-lab)").addoption
    add(
        "--lab-file",
        metavar="FILE",
        help="the lab file of tests that name none  [default: the setting lab_file, or the tutorial's]",
    )
    add(
        "--lab-scope",
        choices=SCOPES,
        default="session",
        help="what shares a lab: all tests of a worker, those of a module, or none  [default: session]",
    )
    add(
        "--lab-share",
        action="store_true",
        help="with pytest-xdist all workers share a lab; else each has its own",
    )
    add("--lab-name", metavar="LAB", help="the lab's name  [default: test- and some digits]")
    add("--lab-keep", action="store_true", help="leave labs up at the end, and name them")
    add(
        "--lab-reuse",
        action="store_true",
        help="use the lab of that name, or the lab file's, if it is up; else make it, and leave it up",
    )
    add(
        "--lab-bundles",
        metavar="DIR",
        help="where bundles about the labs of failed tests go  [default: $LAB_BUNDLES, or lab-bundles]",
    )
    add(
        "--lab-no-packets",
        action="store_true",
        help="have machines keep no packets for those bundles, as where many small ones are measured",
    )
    parser.addini("lab_file", "the lab file of tests that name none, relative to pytest's root folder")


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of the marker."""
    config.addinivalue_line("markers", MARKER)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Hand the marker's file to the fixture, so that tests of the same file follow each other."""
    marker = metafunc.definition.get_closest_marker("lab")
    if marker is None or "lab_file" not in metafunc.fixturenames:
        return
    if len(marker.args) != 1 or marker.kwargs or not isinstance(marker.args[0], str | Path):
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: expected @pytest.mark.lab(FILE)")
    path = metafunc.definition.path.parent / marker.args[0]
    scope = metafunc.config.getoption("--lab-scope")
    metafunc.parametrize("lab_file", [path], indirect=True, ids=[path.stem], scope=scope)


def _scope(fixture_name: str, config: pytest.Config) -> Any:  # noqa: ARG001 - pytest's names
    return config.getoption("--lab-scope")


@pytest.fixture(scope="session")
def lab_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """The Docker engine that labs are made on."""
    from contextlib import closing

    from lab.engine import Engine
    from lab.pytest_plugin.labs import leave_bundles_in

    leave_bundles_in(request.config)
    with closing(Engine.connect()) as connected:
        yield connected


@pytest.fixture(scope=_scope)
def lab_file(request: pytest.FixtureRequest) -> Path | None:
    """The lab file of the test's lab: its marker's, the option's, the setting's; None: the tutorial's."""
    if getattr(request, "param", None) is not None:
        return Path(request.param)
    named = request.config.getoption("--lab-file")
    if named:
        return Path(request.config.invocation_params.dir, named)
    setting = request.config.getini("lab_file")
    return request.config.rootpath / setting if setting else None


@pytest.fixture(scope=_scope)
def lab(
    request: pytest.FixtureRequest,
    lab_file: Path | None,
    lab_engine: Engine,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Lab]:
    """A lab that is up, in which every check held; a test must leave it as it found it."""
    from contextlib import ExitStack

    from lab.errors import LabError
    from lab.pytest_plugin.labs import opened, wishes_of

    wishes = wishes_of(request.config, tmp_path_factory)
    with ExitStack() as stack:
        told = ""
        try:
            found = stack.enter_context(opened(lab_engine, lab_file, wishes))
        except LabError as error:
            told = "\n".join(filter(None, [error.message, error.hint, *getattr(error, "__notes__", ())]))
        if told:  # out of the handler, or pytest would show where in our code it came from
            pytest.fail(told, pytrace=False)
        yield found


@pytest.fixture
def node(lab: Lab) -> Callable[[str], Node]:
    """A machine of the lab, by its host name: `node("centos-minion01").run(["ip", "route"]).text`."""
    return lab.node


@pytest.fixture
def pod(lab: Lab) -> Callable[[str], PodAccess]:
    """A pod of the lab, by its name: `pod("mysql01").run(["hostname"]).text`."""
    from lab.pytest_plugin.labs import PodAccess

    return lambda name: PodAccess(lab, lab.pod(name))


@pytest.fixture
def make_lab(lab_engine: Engine) -> Iterator[MakeLab]:
    """Labs of a test's own, gone with it: `make_lab(spec.load_file(path)).lab`."""
    from contextlib import ExitStack

    from lab.pytest_plugin.labs import MakeLab

    with ExitStack() as stack:
        yield MakeLab(lab_engine, stack)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Leave bundles about the labs of a failed test, and add the machines' last words to its report."""
    outcome = yield
    if _is_loaded():
        from lab.pytest_plugin.report import add_to

        add_to(outcome.get_result(), item, call)  # type: ignore[attr-defined]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the bundles, and the labs that were kept."""
    from lab.pytest_plugin.summary import lines

    for line in lines(terminalreporter.stats):
        terminalreporter.write_line(line)


def _is_loaded() -> bool:
    """Whether any test so far has had to do with a lab."""
    import sys

    return "lab.pytest_plugin.labs" in sys.modules
