"""What somebody gets who installs the project without a clone of it."""

import ast
import hashlib
import platform
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from flanneld_py.datapath.core.provenance import unfit
from lab import chart, images
from lab.errors import Unfit
from lab.images.build_context import recipe, requirements
from tests import wheels
from tests.sources import ROOT, SOURCES, module_name, tree

pytestmark = pytest.mark.package
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def canonical(requirement: str) -> str:
    """The package's name (PEP 503) of a requirement."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement, maxsplit=1)[0]).lower()


BARE = {canonical(each) for each in PROJECT["dependencies"]}
NODE = set(requirements((ROOT / "locks" / "node.txt").read_text()))

# Who runs these has what they import from elsewhere.
ELSEWHERE = {
    "lab.bench.picture": {canonical(each) for each in PROJECT["optional-dependencies"]["bench"]},
    "lab.chart": {canonical(each) for each in PROJECT["optional-dependencies"]["bench"]},
    "lab.web.run": {"uvicorn"},
    "lab.web.files": {"starlette"},
    "lab.web.server": {"starlette"},
    # pytest itself loads them.
    "lab.pytest_plugin": {"pytest"},
    "lab.pytest_plugin.labs": {"pytest"},
    "lab.pytest_plugin.report": {"pytest"},
}


def imported(tree: ast.AST) -> Iterator[str]:
    """Every top-level package that is imported when the program runs, not for the types alone."""
    if isinstance(tree, ast.If) and isinstance(tree.test, ast.Name) and tree.test.id == "TYPE_CHECKING":
        return
    if isinstance(tree, ast.Import):
        yield from (alias.name.split(".")[0] for alias in tree.names)
    elif isinstance(tree, ast.ImportFrom):
        yield str(tree.module).split(".")[0]
    for child in ast.iter_child_nodes(tree):
        yield from imported(child)


def test_the_bare_name_brings_all_that_the_laboratory_and_the_daemon_import():
    distributions = packages_distributions()
    for path in SOURCES:
        module = module_name(path)
        allowed = NODE if ".inside." in module else BARE | ELSEWHERE.get(module, set())
        for name in set(imported(tree(path))) - sys.stdlib_module_names:
            if name not in ("lab", "flanneld_py"):
                owners = {canonical(each) for each in distributions.get(name, [name])}
                assert owners & allowed, f"{module} imports {name}, which is in {owners}"


def test_nobody_is_held_to_an_old_version_of_another_package():
    bounded = [each for each in PROJECT["dependencies"] if "<" in each or "==" in each or "~=" in each]
    assert bounded == ["etcd3==0.12.0"]  # the last there is, since 2020


def test_what_draws_charts_names_the_extra_that_it_lacks(monkeypatch):
    monkeypatch.setattr(chart, "find_spec", lambda _name: None)
    with pytest.raises(Unfit, match="matplotlib, which is not installed") as caught:
        chart.require_matplotlib("lab bench")
    assert "'overlay-lab[bench]'" in caught.value.hint


def pinned(lock: str) -> Mapping[str, str]:
    """Versions by package; of one that has several, for different Pythons, all."""
    found = re.findall(r"(?m)^([\w.-]+)==(.*?) ?\\?$", (ROOT / "locks" / lock).read_text())
    return {name: ", ".join(version for other, version in found if other == name) for name, _ in found}


@pytest.mark.parametrize("lock", ["lab.txt", "node.txt"])
def test_what_is_tested_is_what_runs(lock):
    tests = pinned("test.txt")
    of_both = {name: version for name, version in pinned(lock).items() if name in tests}
    versions = {name: tests[name].split()[0] for name in of_both}
    assert {name: version.split()[0] for name, version in of_both.items()} == versions
    assert pinned(lock).keys() - tests.keys() <= {"win-inet-pton"}


def test_the_laboratorys_lock_has_no_tool_of_the_tests():
    tools = {
        canonical(each)
        for use in ("bench", "serve", "test")
        for each in PROJECT["optional-dependencies"][use]
    }
    assert not tools & pinned("lab.txt").keys()


def test_the_licence_is_apaches_to_the_byte():
    digest = hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest()
    # Of https://www.apache.org/licenses/LICENSE-2.0.txt
    assert digest == "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


def test_the_licence_names_every_licence_that_a_file_names():
    named = {
        found.group(1).strip(" */")
        for path in [*ROOT.glob("lab/**/*.*"), *ROOT.glob("flanneld_py/**/*.*"), *ROOT.glob("images/**/*")]
        if path.is_file() and path.suffix in (".c", ".h", ".py", ".yaml", "")
        for found in [re.search(r"SPDX-License-Identifier: (.*)", path.read_text())]
        if found
    }
    vendored = ["MIT"]  # lab/web/static/vendor/
    assert PROJECT["license"] == " AND ".join(
        ["Apache-2.0", *(f"({each})" for each in sorted(named)), *vendored]
    )


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    return wheels.sdist(tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def built(sdist, tmp_path_factory) -> Path:
    """The wheel, made of the source distribution."""
    return wheels.wheel(sdist, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def programs(built, tmp_path_factory) -> Path:
    return wheels.environment(tmp_path_factory.mktemp("installed") / "env", built)


def contents(archive: Path) -> Mapping[str, bytes]:
    with zipfile.ZipFile(archive) as opened:
        return {name: opened.read(name) for name in opened.namelist() if not name.endswith("/RECORD")}


def test_the_wheel_is_the_same_from_a_clone_as_from_the_source_distribution(built, tmp_path):
    clone = wheels.copy_of_the_clone(tmp_path / "clone")
    assert contents(wheels.built("wheel", clone, tmp_path / "dist")) == contents(built)


def test_both_distributions_have_the_licences(sdist, built):
    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    for licence in ("LICENSE", "NOTICE", "LICENSES/MIT.txt"):
        assert licence in names
        assert any(name.endswith(f".dist-info/licenses/{licence}") for name in contents(built))


def test_the_wheel_has_the_two_packages_and_nothing_else(built):
    tops = {name.split("/")[0] for name in contents(built)}
    assert {name for name in tops if not name.endswith(".dist-info")} == {"lab", "flanneld_py"}


def test_the_wheel_has_the_whole_page(built):
    folder = ROOT / "lab" / "web" / "static"
    page = {str(path.relative_to(ROOT)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {
        name: data for name, data in contents(built).items() if name.startswith("lab/web/static/")
    } == page


def test_the_source_distribution_has_no_compiled_file(sdist):
    with tarfile.open(sdist) as archive:
        assert [name for name in archive.getnames() if name.endswith((".o", ".so", ".pyc"))] == []


def test_the_wheel_has_the_fast_path_where_it_could_be_compiled(built):
    compiled = ROOT / "flanneld_py" / "datapath" / "fast_path" / "fast_path.o"
    if not compiled.exists():
        pytest.skip("there is no clang")
    assert contents(built)["flanneld_py/datapath/fast_path/fast_path.o"] == compiled.read_bytes()


def test_the_wheel_has_the_core_where_it_could_be_compiled(built):
    folder = ROOT / "flanneld_py" / "datapath" / "core"
    compiled = list(folder.glob("core.*.so"))
    if not compiled:
        pytest.skip("the core is not compiled here")
    read = contents(built)
    assert [read[f"flanneld_py/datapath/core/{path.name}"] for path in compiled] == [
        path.read_bytes() for path in compiled
    ]


def test_the_wheels_core_is_of_the_source_beside_it(built):
    here = f"flanneld_py/datapath/core/core.{platform.machine()}.so"
    read = contents(built)
    if here not in read:
        pytest.skip("the core is not compiled here")
    assert unfit(read[here], read["flanneld_py/datapath/core/core.c"]) == ""


def test_the_wheel_is_for_every_machine(built):
    assert built.name.endswith("-py3-none-any.whl")


def answer(program: Path, *argv: str, at: Path) -> str:
    done = subprocess.run([program, *argv], cwd=at, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_an_installed_lab_has_every_file_of_its_images(programs, tmp_path):
    answer(programs / "lab", "images", "context", "mysql", "out", at=tmp_path)
    assert {
        str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()
    } == recipe("mysql").keys()


def test_an_installed_lab_asks_for_the_same_images_as_the_clone(programs, tmp_path):
    program = "import lab; from lab import images; print(lab.__file__, *images.wanted('amd64'))"
    where, *names = answer(programs / "python", "-c", program, at=tmp_path).split()
    assert where.startswith(str(programs.parent))
    assert names == [*images.wanted("amd64")]


def test_an_installed_daemon_runs_without_the_clone(programs, tmp_path):
    (tmp_path / "config.json").write_text('{"Network": "10.2.0.0/16"}')
    assert "255 subnets" in answer(programs / "flanneld", "check-config", "config.json", at=tmp_path)
    (tmp_path / "subnet.env").write_text(
        "FLANNEL_SUBNET=10.2.1.1/24\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=true\n"
    )
    answer(programs / "mk-docker-opts.sh", "-f", "subnet.env", "-d", "docker.env", at=tmp_path)
    assert 'DOCKER_OPT_BIP="--bip=10.2.1.1/24"' in (tmp_path / "docker.env").read_text()
