"""Programs of ours that every machine of a lab has as folders."""

import subprocess
import sys

import pytest

from lab.inside import Installed
from lab.node.files import PROGRAMS, node_files
from lab.spec import tutorial
from tests.lab.installed import installed

EACH = pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)


@EACH
def test_the_modules_of_a_program_need_nothing_but_each_other_and_pythons_library(
    tmp_path, program: Installed
):
    folder = installed(program, tmp_path)
    loads = f"import sys; sys.path.insert(0, sys.argv[1]); import {program.main} as found; found.main"
    # Isolated, and without what is installed besides, as on a machine.
    argv = [sys.executable, "-IS", "-c", loads, str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, cwd="/", check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_machine_has_every_program():
    lab = tutorial()
    for node in lab.nodes:
        files = node_files(lab, node, "amd64")
        for program in PROGRAMS:
            for path, text in program.texts().items():
                assert files[path].data.decode() == text
