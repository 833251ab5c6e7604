"""The daemons of these tests end at an error that Python would only print."""

import pytest

from tests.kernel.harness import Sandbox
from tests.test_strict import FINALIZER, THREAD

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("program", [FINALIZER, THREAD], ids=["a finalizer", "a thread"])
def test_a_program_ends_at_an_error_in(container: Sandbox, program):
    done = container.run("python3", "-I", "-c", program, check=False)
    assert (done.exit_code, done.text) == (70, "")
