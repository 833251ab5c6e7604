"""The environment of the programs that we start."""

import pytest

from flanneld_py.runtime import environment


@pytest.mark.parametrize("path", ["/usr/bin:/bin", "/opt/bin", "", "/usr/sbin"])
def test_the_systems_own_folders_are_searched_after_those_that_path_names(path):
    folders = environment.environment({"PATH": path} if path else {})["PATH"].split(":")
    given = path.split(":") if path else []
    assert folders[: len(given)] == given
    assert {"/usr/sbin", "/sbin", "/usr/bin", "/bin"} <= set(folders)
    assert len(folders) == len(set(folders))


def test_all_else_is_handed_on():
    assert environment.environment({"HOME": "/root", "A": "1"}, A="2", B="3") == {
        "HOME": "/root", "A": "2", "B": "3", "PATH": ":".join(environment.SYSTEM),
    }  # fmt: skip
