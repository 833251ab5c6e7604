import os
from pathlib import Path

import pytest

from flanneld_py.errors import Fatal
from flanneld_py.lease.subnet_file import previous_subnet
from flanneld_py.runtime import files
from tests.flanneld_py.made import subnet


@pytest.fixture
def strict_umask():
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("strict_umask")
def test_the_file_and_its_directory_can_be_read_by_all_whatever_the_umask(tmp_path):
    path = tmp_path / "flannel" / "subnet.env"
    files.replace(path, "FLANNEL_MTU=1472\n")
    assert path.read_text() == "FLANNEL_MTU=1472\n"
    assert path.stat().st_mode & 0o777 == 0o644
    assert path.parent.stat().st_mode & 0o777 == 0o755


def test_a_reader_of_the_old_file_keeps_the_old_file(tmp_path):
    path = tmp_path / "subnet.env"
    files.replace(path, "old\n")
    with path.open() as reader:
        files.replace(path, "new\n")
        assert reader.read() == "old\n"
    assert path.read_text() == "new\n"
    assert [item.name for item in tmp_path.iterdir()] == ["subnet.env"]


def test_a_place_that_cannot_be_written_is_fatal_and_named(tmp_path):
    (tmp_path / "flat").touch()
    for path in (tmp_path / "flat" / "subnet.env", tmp_path):
        with pytest.raises(Fatal, match=str(path)):
            files.require_writable(path)


def test_looking_whether_it_can_be_written_leaves_the_file_as_it_is(tmp_path):
    path = tmp_path / "flannel" / "subnet.env"
    files.require_writable(path)
    assert list(path.parent.iterdir()) == []
    path.write_text("FLANNEL_SUBNET=10.2.35.1/24\n")
    files.require_writable(path)
    assert previous_subnet(path) == subnet("10.2.35.0/24")


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"FLANNEL_SUBNET=tomorrow\n"])
def test_a_file_that_says_nothing_readable_is_no_previous_subnet(tmp_path: Path, content):
    path = tmp_path / "subnet.env"
    if content is not None:
        path.write_bytes(content)
    assert previous_subnet(path) is None


@pytest.mark.usefixtures("strict_umask")
def test_every_folder_that_is_made_for_it_can_be_entered_by_all_whatever_the_umask(tmp_path):
    files.replace(tmp_path / "run" / "deep" / "flannel" / "subnet.env", "FLANNEL_MTU=1472\n")
    for folder in ("run", "run/deep", "run/deep/flannel"):
        assert (tmp_path / folder).stat().st_mode & 0o777 == 0o755


def test_a_folder_that_was_there_keeps_its_mode(tmp_path):
    folder = tmp_path / "flannel"
    folder.mkdir(mode=0o750)
    files.replace(folder / "subnet.env", "FLANNEL_MTU=1472\n")
    assert folder.stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("name", [".subnet.env", "subnet.env"])
def test_a_link_in_its_place_is_replaced_and_what_it_leads_to_is_not_touched(tmp_path, name):
    secret = tmp_path / "secret"
    secret.write_text("secret\n")
    secret.chmod(0o600)
    (tmp_path / name).symlink_to(secret)
    path = tmp_path / "subnet.env"
    assert previous_subnet(path) is None
    files.replace(path, "FLANNEL_MTU=1472\n")
    assert (secret.read_text(), secret.stat().st_mode & 0o777) == ("secret\n", 0o600)
    assert not path.is_symlink()
    assert path.read_text() == "FLANNEL_MTU=1472\n"


@pytest.mark.parametrize("name", [".subnet.env", "subnet.env"])
def test_a_fifo_in_its_place_holds_nobody_up(tmp_path, name):
    os.mkfifo(tmp_path / name)
    path = tmp_path / "subnet.env"
    assert previous_subnet(path) is None
    files.replace(path, "FLANNEL_SUBNET=10.2.35.1/24\n")
    assert previous_subnet(path) == subnet("10.2.35.0/24")


def test_what_a_killed_daemon_left_is_no_hindrance(tmp_path):
    (tmp_path / ".subnet.env").write_text("half of it")
    files.replace(tmp_path / "subnet.env", "FLANNEL_MTU=1472\n")
    assert [item.name for item in tmp_path.iterdir()] == ["subnet.env"]


def test_a_file_without_an_end_is_not_read_to_it(tmp_path):
    path = tmp_path / "subnet.env"
    path.write_text("FLANNEL_SUBNET=10.2.35.1/24\n")
    os.truncate(path, 1 << 40)
    assert previous_subnet(path) == subnet("10.2.35.0/24")
