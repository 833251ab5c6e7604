"""`lab cp`: where a copy goes, what is in a tar, and what of one is not believed."""

import base64
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from lab.copying.archive import kind_here, pack, unpack
from lab.copying.ends import InPod, OnMachine
from lab.copying.paths import Kind, Place, goal, read_place, require_one_side
from lab.errors import LabError, Unfit


@pytest.mark.parametrize(
    ("word", "place"),
    [
        ("centos-minion01:/run/x", Place("centos-minion01", "/run/x")),
        ("mysql01:etc", Place("mysql01", "/etc")),
        ("mysql01:", Place("mysql01", "/", is_folder=True)),
        ("n:/a/", Place("n", "/a", is_folder=True)),
        ("n:/a/.", Place("n", "/a", contents=True, is_folder=True)),
        ("x", Place("", "x")),
        (".", Place("", ".", contents=True, is_folder=True)),
        ("./a:b", Place("", "a:b")),
        ("/a:b", Place("", "/a:b")),
        ("dir/a:b", Place("", "dir/a:b")),
        ("n:a:b", Place("n", "/a:b")),
    ],
)
def test_a_place_is_here_unless_it_begins_with_a_name_and_a_colon(word: str, place: Place) -> None:
    assert read_place(word) == place


def test_a_stream_is_no_place_and_one_end_is_here_the_other_elsewhere() -> None:
    with pytest.raises(Unfit, match="-: files and folders are copied, and no streams"):
        read_place("-")
    with pytest.raises(Unfit, match="a and b are both this machine's"):
        require_one_side(read_place("a"), read_place("b"))
    with pytest.raises(Unfit, match="n:/a and p:/b are both elsewhere"):
        require_one_side(read_place("n:/a"), read_place("p:/b"))
    require_one_side(read_place("n:/a"), read_place("b"))


# The cases of docker cp's own page.
@pytest.mark.parametrize(
    ("source", "kind", "there", "parent", "goes_to"),
    [
        ("a", "file", "absent", "folder", "/d + x"),
        ("a", "file", "file", "folder", "/d + x"),
        ("a", "file", "folder", "folder", "/d/x + a"),
        ("a", "link", "folder", "folder", "/d/x + a"),
        ("b/a", "folder", "absent", "folder", "/d + x"),
        ("b/a/.", "folder", "absent", "folder", "/d + x"),
        ("b/a", "folder", "folder", "folder", "/d/x + a"),
        ("b/a/.", "folder", "folder", "folder", "/d/x + "),
        ("b/a", "folder", "file", "folder", "n:/d/x is no folder"),
        ("a", "file", "absent", "absent", "there is no folder n:/d"),
        ("a", "file", "absent", "file", "there is no folder n:/d"),
        ("a", "absent", "folder", "folder", "there is no file or folder a"),
        ("a/", "file", "folder", "folder", "a is no folder"),
    ],
)
def test_a_copy_goes_where_docker_cp_puts_it(
    source: str, kind: Kind, there: Kind, parent: Kind, goes_to: str
) -> None:
    try:
        found = goal(read_place(source), kind, read_place("n:/d/x"), there, parent)
        told = f"{found.folder} + {found.name}"
    except LabError as error:
        told = error.message
    assert told == goes_to


def test_a_destination_that_ends_like_a_folder_has_to_be_one() -> None:
    with pytest.raises(LabError, match="there is no folder n:/d/x"):
        goal(read_place("a"), "file", read_place("n:/d/x/"), "absent", "folder")
    assert goal(read_place("a"), "folder", read_place("n:/d/x/"), "absent", "folder").name == "x"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "sub").mkdir(parents=True, mode=0o700)
    (root / "sub" / "blob").write_bytes(bytes(range(256)) * 1000)
    (root / "run").write_text("#!/bin/sh\n")
    (root / "run").chmod(0o4755)
    (root / "link").symlink_to("run")
    os.link(root / "run", root / "hard")
    (root / "sub").chmod(0o500)
    return root


def seen(root: Path) -> dict[str, tuple[int, object]]:
    return {
        str(path.relative_to(root)): (
            path.lstat().st_mode,
            path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None,
        )
        for path in root.rglob("*")
    }


@pytest.mark.parametrize("name", ["copy", ""])
def test_what_is_packed_is_unpacked_with_its_bytes_modes_and_links(
    tree: Path, tmp_path: Path, name: str
) -> None:
    packed = io.BytesIO()
    pack(tree, "tree", packed)
    packed.seek(0)
    (tmp_path / "to").mkdir()
    unpack(packed, tmp_path / "to", name)
    copied = tmp_path / "to" / name
    assert seen(copied) == seen(tree)
    assert (copied / "hard").samefile(copied / "run")
    packed.seek(0)
    unpack(packed, tmp_path / "to", name)  # once more, over itself
    assert seen(copied) == seen(tree)
    for root in (tree, copied):
        (root / "sub").chmod(0o700)


def test_there_everything_is_roots_and_a_folders_contents_have_no_folder(tree: Path) -> None:
    packed = io.BytesIO()
    pack(tree, "", packed)
    packed.seek(0)
    with tarfile.open(fileobj=packed) as archive:
        members = archive.getmembers()
    assert {member.name for member in members} == {"sub", "sub/blob", "run", "link", "hard"}
    assert {(member.uid, member.gid, member.uname) for member in members} == {(0, 0, "root")}
    (tree / "sub").chmod(0o700)


FOLDER = ("x", tarfile.DIRTYPE, "")


def archive(*members: tuple[str, bytes, str]) -> io.BytesIO:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as made:
        for name, kind, linkname in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode = kind, linkname, 0o755
            made.addfile(info)
    packed.seek(0)
    return packed


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([("x/../../evil", tarfile.REGTYPE, "")], "leads elsewhere"),
        ([("/evil", tarfile.REGTYPE, "")], "leads elsewhere"),
        (
            [
                ("x", tarfile.DIRTYPE, ""),
                ("x/out", tarfile.SYMTYPE, ".."),
                ("x/out/evil", tarfile.REGTYPE, ""),
            ],
            "is no folder",
        ),
        ([FOLDER, ("x/hard", tarfile.LNKTYPE, "x/../../evil")], "leads elsewhere"),
        ([("x", tarfile.CHRTYPE, "")], "x is a device, which is not copied"),
    ],
)
def test_a_tar_writes_nothing_outside_the_folder(
    tmp_path: Path, members: list[tuple[str, bytes, str]], words: str
) -> None:
    (tmp_path / "to").mkdir()
    with pytest.raises(LabError, match=words):
        unpack(archive(*members), tmp_path / "to", "x")
    assert [path.name for path in tmp_path.rglob("evil")] == []


def test_a_folder_is_not_replaced_by_a_file_and_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(LabError, match="x is a folder here, and none where it comes from"):
        unpack(archive(("x", tarfile.REGTYPE, "")), tmp_path, "x")
    with pytest.raises(LabError, match="nosuch: No such file or directory"):
        pack(tmp_path / "nosuch", "x", io.BytesIO())
    (tmp_path / "link").symlink_to("x")
    assert [kind_here(str(tmp_path / name), follow=False) for name in ("x", "link", "no")] == [
        "folder",
        "link",
        "absent",
    ]
    assert kind_here(str(tmp_path / "link"), follow=True) == "folder"


def head(mode: int) -> str:
    told = base64.b64encode(json.dumps({"name": "x", "mode": mode}).encode()).decode()
    return f"HTTP/1.1 200 OK\r\nX-Docker-Container-Path-Stat: {told}\r\n\r\n"


def test_what_docker_and_a_machine_say_of_a_path_is_read() -> None:
    pod = InPod("mysql01_mysql")
    assert pod.kind("HTTP/1.1 404 Not Found\r\n\r\n" + head(0o644)) == "file"
    assert pod.kind(head(1 << 31 | 0o755)) == "folder"
    assert pod.kind(head(1 << 27 | 0o777)) == "link"
    assert pod.kind("HTTP/1.1 404 Not Found\r\n\r\n") == "absent"
    assert OnMachine().kind("folder\n") == "folder"
    assert OnMachine().kind("") == "absent"
    assert OnMachine().read("/etc/x")[-3:] == ["--directory=/etc", "--", "x"]
    assert OnMachine().read("/")[-3:] == ["--directory=/", "--", "."]
