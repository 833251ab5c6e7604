"""Which images are wanted, and what they are made from. Nothing here needs an engine."""

import io
import re
import tarfile
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import lock
from lab.engine import Container, Engine, FileContent, ImageInfo, Volume
from lab.errors import LabError, Unfit
from lab.events import Reporter
from lab.images import build_context, images, rootfs, seed
from tests.lab.manifests import TUTORIAL_UNIT

ROOT = Path(__file__).parent.parent.parent

FILES = st.dictionaries(
    st.text("abc/", min_size=1, max_size=4),
    st.builds(FileContent, st.binary(max_size=4), st.sampled_from([0o644, 0o755])),
    max_size=4,
)


class FakeEngine:
    """As much of `lab.engine.Engine` as deciding what is there asks for."""

    arch = "amd64"

    def __init__(self) -> None:
        self.id = f"fake-{uuid.uuid4()}"  # locks of tests that run at the same time do not meet
        self.images_: dict[str, ImageInfo] = {}
        self.volumes_: dict[str, Volume] = {}
        self.containers_: list[Container] = []
        self.removed: list[str] = []

    def has(self, name: str, kind: str, **labels: str) -> None:
        labels = {"lab.image": kind, **{key.replace("_", "."): value for key, value in labels.items()}}
        self.images_[name] = ImageInfo(f"sha256:{name}", (name,), labels, 1)

    def image(self, name: str) -> ImageInfo | None:
        return self.images_.get(name)

    def images(self, label: str) -> tuple[ImageInfo, ...]:
        key, _, value = label.partition("=")
        found = [image for image in self.images_.values() if key in image.labels]
        return tuple(image for image in found if not value or image.labels[key] == value)

    def volume(self, name: str) -> Volume | None:
        return self.volumes_.get(name)

    def volumes(self, labels: Mapping[str, str]) -> tuple[Volume, ...]:
        return tuple(volume for volume in self.volumes_.values() if labels.items() <= volume.labels.items())

    def containers(self, labels: Any) -> tuple[Container, ...]:
        return tuple(item for item in self.containers_ if set(labels) <= set(item.labels))

    def remove_image(self, name: str) -> None:
        self.removed.append(name)

    def remove_volume(self, name: str) -> None:
        self.removed.append(name)


@pytest.fixture
def fake() -> FakeEngine:
    return FakeEngine()


def as_engine(fake: FakeEngine) -> Engine:
    return cast(Engine, fake)


def whole(fake: FakeEngine) -> images.Images:
    """Give the engine everything that is wanted."""
    wanted = images.wanted("amd64")
    fake.has(wanted.node, "node")
    fake.has(wanted.mysql, "mysql")
    fake.has(wanted.seed.replace("-seed-", "-seed:"), "seed", lab_seed="7")
    fake.volumes_[wanted.seed] = Volume(wanted.seed, {"lab.cache": "seed", "lab.seed": "7"})
    return wanted


def test_names_are_the_same_for_two_clones_with_the_same_files(tmp_path: Path) -> None:
    for clone in (tmp_path / "a", tmp_path / "b"):
        for path, content in build_context.recipe("node").items():
            target = clone / path if path.startswith("locks/") else clone / "images" / "node" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.data)
            target.chmod(content.mode)
    first, second = (build_context.recipe("node", tmp_path / name) for name in "ab")
    assert (
        build_context.digest(first)
        == build_context.digest(second)
        == build_context.digest(build_context.recipe("node"))
    )


@given(FILES, FILES)
def test_an_image_has_another_name_as_soon_as_a_file_differs(
    one: Mapping[str, FileContent], other: Mapping[str, FileContent]
) -> None:
    assert (build_context.digest(one) == build_context.digest(other)) == (one == other)


@given(FILES)
def test_an_image_has_another_name_on_another_architecture(files: Mapping[str, FileContent]) -> None:
    assert build_context.digest(files, "amd64") != build_context.digest(files, "arm64")


def test_the_node_image_depends_on_its_locked_libraries() -> None:
    assert build_context.recipe("node")["locks/node.txt"].data == (ROOT / "locks" / "node.txt").read_bytes()
    assert "locks/node.txt" not in build_context.recipe("mysql")


def test_the_daemon_is_not_part_of_the_node_image() -> None:
    assert not [path for path in build_context.recipe("node") if "flanneld_py/" in path]


def test_names_follow_the_scheme_that_labels_and_documentation_use() -> None:
    wanted = images.wanted("amd64")
    assert re.fullmatch(r"lab-node:[0-9a-f]{12}", wanted.node)
    assert re.fullmatch(r"lab-mysql:[0-9a-f]{12}", wanted.mysql)
    assert re.fullmatch(r"lab-seed-[0-9a-f]{12}", wanted.seed)


def test_an_engine_with_nothing_lacks_all_three(fake: FakeEngine) -> None:
    assert images.stale_or_missing(as_engine(fake)) == tuple(images.wanted("amd64"))


def test_an_engine_with_everything_lacks_nothing(fake: FakeEngine) -> None:
    whole(fake)
    assert images.stale_or_missing(as_engine(fake)) == ()


def test_a_seed_volume_whose_maker_was_killed_does_not_look_finished(fake: FakeEngine) -> None:
    wanted = whole(fake)
    del fake.images_[wanted.seed.replace("-seed-", "-seed:")]
    assert images.stale_or_missing(as_engine(fake)) == (wanted.seed,)


def test_the_proof_of_an_earlier_seed_volume_does_not_hold_for_a_new_one(fake: FakeEngine) -> None:
    wanted = whole(fake)
    fake.volumes_[wanted.seed] = Volume(wanted.seed, {"lab.cache": "seed", "lab.seed": "8"})
    assert not seed.is_complete(as_engine(fake), wanted.seed)


def test_a_volume_that_the_engine_made_by_itself_is_no_seed(fake: FakeEngine) -> None:
    wanted = whole(fake)
    fake.volumes_[wanted.seed] = Volume(wanted.seed, {})
    assert not seed.is_complete(as_engine(fake), wanted.seed)


def test_the_listing_tells_current_from_stale_and_unfinished(fake: FakeEngine) -> None:
    wanted = whole(fake)
    fake.has("lab-node:000000000000", "node")
    fake.has("lab-base:trixie", "base")
    fake.volumes_["lab-seed-0"] = Volume("lab-seed-0", {"lab.cache": "seed", "lab.seed": "1"})
    assert {row.name: (row.kind, row.state) for row in images.listing(as_engine(fake))} == {
        wanted.node: ("node", "current"),
        wanted.mysql: ("mysql", "current"),
        wanted.seed: ("seed", "current"),
        "lab-node:000000000000": ("node", "stale"),
        "lab-base:trixie": ("base", "current"),
        "lab-seed-0": ("seed", "unfinished"),
    }


def test_removing_takes_everything_and_the_bases_last(fake: FakeEngine) -> None:
    wanted = whole(fake)
    fake.has("lab-base:sid", "base")
    fake.has("lab-mysql:000000000000", "mysql")
    removed = images.remove(as_engine(fake))
    assert removed == fake.removed
    assert {*removed} == {*wanted, wanted.seed.replace("-seed-", "-seed:"), "lab-base:sid", *fake.images_}
    assert removed[-1] == "lab-base:sid"


def test_images_that_a_lab_stands_on_are_not_removed(fake: FakeEngine) -> None:
    whole(fake)
    fake.containers_.append(Container("1", "lab-demo-centos-master", {"lab.name": "demo"}, "running", "Up"))
    with pytest.raises(LabError, match="in use by the lab demo") as caught:
        images.remove(as_engine(fake))
    assert "lab down --name demo" in caught.value.hint
    assert fake.removed == []


def test_a_sweep_takes_what_is_half_made_and_nothing_else(fake: FakeEngine) -> None:
    whole(fake)
    fake.volumes_["lab-seed-0"] = Volume("lab-seed-0", {"lab.cache": "seed", "lab.seed": "1"})
    assert images.sweep(as_engine(fake)) == fake.removed == ["lab-seed-0"]


def test_a_sweep_takes_what_builds_in_stages_have_left(fake: FakeEngine) -> None:
    whole(fake)
    fake.images_["sha256:0"] = ImageInfo("sha256:0", (), {"lab.image": "stage"}, 1)
    assert images.sweep(as_engine(fake)) == fake.removed == ["sha256:0"]


def test_no_build_removes_a_stage_that_the_other_may_still_stand_on(
    fake: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    building = threading.Barrier(2, timeout=10)

    def build(engine: Engine, name: str, tag: str, progress: Reporter) -> None:
        fake.images_[name] = ImageInfo(name, (), {"lab.image": "stage"}, 1)
        building.wait()
        assert fake.removed == []
        building.wait()

    monkeypatch.setattr(images, "_build", build)
    monkeypatch.setattr(seed, "make", lambda *_args, **_named: None)
    images.ensure(as_engine(fake), Reporter())
    assert sorted(fake.removed) == ["mysql", "node"]


def test_a_sweep_leaves_a_build_that_is_under_way_alone(fake: FakeEngine) -> None:
    fake.volumes_["lab-seed-0"] = Volume("lab-seed-0", {"lab.cache": "seed", "lab.seed": "1"})
    with lock.held(fake.id, images.LOCK):
        assert images.sweep(as_engine(fake)) == []
    assert fake.removed == []


def test_an_engine_that_no_image_can_be_made_for_is_refused_before_anything_is_done(fake: FakeEngine) -> None:
    fake.arch = "riscv64"
    with pytest.raises(Unfit, match="images for amd64 and arm64, and the engine's machine is riscv64"):
        images.ensure(as_engine(fake), Reporter())


def test_requirements_keep_their_hashes() -> None:
    lock = "a==1 \\\n    --hash=sha256:0 \\\n    --hash=sha256:1\nB.c==2 ; python_version > '3'\n"
    assert build_context.requirements(lock) == {
        "a": "a==1 \\\n    --hash=sha256:0 \\\n    --hash=sha256:1\n",
        "b.c": "B.c==2 ; python_version > '3'\n",
    }


def test_every_locked_library_of_the_node_has_a_hash() -> None:
    entries = build_context.requirements((ROOT / "locks" / "node.txt").read_text())
    assert entries.keys() >= build_context.SOURCE_ONLY
    assert {"etcd3", "grpcio", "protobuf", "pyroute2", "pymysql", "cryptography"} <= entries.keys()
    assert all("--hash=sha256:" in entry for entry in entries.values())


def test_a_build_context_has_the_files_with_their_modes(tmp_path: Path) -> None:
    build_context.write_context("mysql", tmp_path / "out")
    written = {
        str(path.relative_to(tmp_path / "out")): FileContent(path.read_bytes(), path.stat().st_mode & 0o777)
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    assert written == build_context.recipe("mysql")


def test_the_nodes_context_has_the_daemon_whose_changes_make_no_image_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_context, "_install_libraries", lambda *_: None)
    build_context.write_context("node", tmp_path / "out")
    daemon = tmp_path / "out" / "daemon" / "flanneld_py" / "daemon"
    own = ROOT / "flanneld_py" / "daemon"
    assert {path.name for path in daemon.iterdir()} == {path.name for path in own.glob("*.py")}
    assert not [path for path in build_context.recipe("node") if path.startswith("daemon/")]


def test_a_build_context_is_not_written_over_other_files(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    with pytest.raises(Unfit, match="is not empty"):
        build_context.write_context("mysql", tmp_path)


def test_an_unknown_image_is_named_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(Unfit, match="there is no image redis; there are: node, mysql"):
        build_context.write_context("redis", tmp_path)


def test_a_packed_context_belongs_to_root_whoever_packs_it(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir(mode=0o700)
    (tmp_path / "etc" / "file").write_text("x")
    (tmp_path / "etc" / "file").chmod(0o600)
    (tmp_path / "run").write_text("x")
    (tmp_path / "run").chmod(0o700)
    packed = io.BytesIO()
    images.pack(tmp_path, packed)
    packed.seek(0)
    with tarfile.open(fileobj=packed) as archive:
        seen = {info.name: (info.mode, info.uid, info.gid) for info in archive}
    assert seen == {".": (0o755, 0, 0), "./etc": (0o755, 0, 0), "./etc/file": (0o644, 0, 0),
                    "./run": (0o755, 0, 0)}  # fmt: skip


@pytest.mark.parametrize("suite", sorted(rootfs.SUITES.values()))
def test_a_base_names_no_mirror_and_unstable_alone_may_be_out_of_date(suite: str) -> None:
    argv = rootfs.bootstrap_argv(suite, "amd64", root=True)
    assert argv[-2:] == (suite, "-")
    assert not [word for word in argv if "http" in word or "file:" in word]
    assert any("Check-Valid-Until" in word for word in argv) == (suite == "sid")


def test_a_base_is_made_in_a_user_namespace_without_root() -> None:
    assert "--mode=unshare" in rootfs.bootstrap_argv("sid", "arm64", root=False)
    assert "--mode=unshare" not in rootfs.bootstrap_argv("sid", "arm64", root=True)
    assert "--architectures=arm64" in rootfs.bootstrap_argv("sid", "arm64", root=False)


@pytest.mark.parametrize("image", build_context.NAMES)
def test_every_image_can_be_built_from_another_base(image: str) -> None:
    dockerfile = build_context.recipe(image)["Dockerfile"].data.decode()
    assert f"ARG BASE=debian:{rootfs.SUITES[image]}-slim\nFROM ${{BASE}}" in dockerfile


def test_the_node_is_set_up_as_the_tutorial_says() -> None:
    files = build_context.recipe("node")
    unit = files["files/usr/lib/systemd/system/flanneld.service"].data.decode()
    assert unit == TUTORIAL_UNIT


def test_a_new_node_image_leaves_a_whole_seed_volume_alone(
    fake: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = whole(fake)
    del fake.images_[wanted.node]
    built: list[str] = []
    monkeypatch.setattr(images, "_build", lambda *given: built.append(given[2]))
    monkeypatch.setattr(seed, "make", lambda *_, **__: built.append(wanted.seed))
    assert images.ensure(as_engine(fake), Reporter()) == wanted
    assert built == [wanted.node]
