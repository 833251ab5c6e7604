"""Programs of ours that every machine of a lab has as folders."""

import json
import subprocess
import sys

import pytest

from lab.inside import Installed
from lab.node.files import PROGRAMS, node_files
from lab.spec import tutorial
from tests.lab.installed import installed

EACH = pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)


LOADS = """
import importlib, json, sys, traceback
failed = {}
for name, main, folder in json.loads(sys.argv[1]):
    sys.path.insert(0, folder)
    try:
        importlib.import_module(main).main
    except Exception:
        failed[name] = traceback.format_exc()
    sys.path.remove(folder)
    for loaded in [*sys.modules]:
        if loaded != "__main__" and loaded.partition(".")[0] not in sys.stdlib_module_names:
            del sys.modules[loaded]
print(json.dumps(failed))
"""
"""Each program by itself. Python's library, which all may use, is loaded once."""


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """Why a program could not be loaded, by its name."""
    folder = tmp_path_factory.mktemp("programs")
    given = [(it.name, it.main, str(installed(it, folder / it.name))) for it in PROGRAMS]
    # Isolated, and without what is installed besides, as on a machine.
    argv = [sys.executable, "-IS", "-c", LOADS, json.dumps(given)]
    done = subprocess.run(argv, capture_output=True, text=True, cwd="/", check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@EACH
def test_the_modules_of_a_program_need_nothing_but_each_other_and_pythons_library(failed, program: Installed):
    assert failed.get(program.name) is None


def test_every_machine_has_every_program():
    lab = tutorial()
    for node in lab.nodes:
        files = node_files(lab, node, "amd64")
        for program in PROGRAMS:
            for path, text in program.texts().items():
                assert files[path].data.decode() == text
