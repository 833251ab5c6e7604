"""The subnet file while a lease is held."""

import os

import pytest

from flanneld_py.errors import Exit, Fatal
from flanneld_py.lease.subnet_file import SubnetFile
from tests.flanneld_py.made import subnet


@pytest.fixture
def path(tmp_path):
    return tmp_path / "flannel" / "subnet.env"


@pytest.fixture
def file(path):
    made = SubnetFile(path, subnet("10.2.0.0/16"), ip_masq=False)
    made.write(subnet("10.2.35.0/24"), 1472)
    return made


def test_a_file_that_says_what_it_should_is_left_alone(file, path):
    before = path.stat().st_mtime_ns
    assert file.keep() == ""
    assert path.stat().st_mtime_ns == before


def test_a_file_that_was_deleted_is_written_again_with_its_folder(file, path):
    text = path.read_text()
    path.unlink()
    path.parent.rmdir()
    assert file.keep() == f"{path} was deleted"
    assert path.read_text() == text
    assert file.keep() == ""


def test_a_file_that_says_something_else_is_written_again(file, path):
    text = path.read_text()
    path.write_bytes(text.encode() + b"\xff")
    assert file.keep() == f"{path} was changed"
    assert path.read_text() == text


@pytest.mark.parametrize("put", [os.mkfifo, lambda path: path.symlink_to("/etc/hostname")])
def test_what_is_no_file_in_its_place_is_neither_followed_nor_waited_for(file, path, put):
    text = path.read_text()
    path.unlink()
    put(path)
    assert file.keep().startswith(f"{path} could not be read: ")
    assert not path.is_symlink()
    assert path.read_text() == text


def test_what_cannot_be_written_again_is_told(file, path):
    path.unlink()
    path.mkdir()
    with pytest.raises(Fatal, match=f"Writing {path}: ") as caught:
        file.keep()
    assert caught.value.code == Exit.FILE


def test_before_it_was_written_nothing_is_kept(tmp_path):
    assert SubnetFile(tmp_path / "subnet.env", subnet("10.2.0.0/16"), ip_masq=False).keep() == ""
