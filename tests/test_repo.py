"""Rules about the source itself: lint, types, and which part may import which."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted([*ROOT.glob("lab/**/*.py"), *ROOT.glob("flanneld_py/**/*.py")])

CORE = {
    "lab": {"spec", "pods", "plan", "errors", "document", "render", "access"},
    "flanneld_py": {
        "config", "lease", "allocate", "subnet_env", "options", "errors",
        "datapath.packet", "datapath.forward",
    },
}  # fmt: skip
EFFECTS = {"asyncio", "docker", "etcd3", "grpc", "os", "pyroute2", "random", "select", "shutil", "signal"} | {
    "socket", "subprocess", "threading", "time",
}  # fmt: skip


def run(*argv: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *argv], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in the file it does."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importers(package: str) -> set[str]:
    return {
        module_name(path)
        for path in SOURCES
        if any(name == package or name.startswith(f"{package}.") for name in imports(path))
    }


def test_ruff_finds_nothing():
    run("ruff", "check", ".")


def test_the_code_is_formatted():
    run("ruff", "format", "--check", ".")


def test_mypy_strict_finds_nothing():
    run("mypy")


def test_the_laboratory_and_the_daemon_never_import_each_other():
    assert not {name for name in importers("flanneld_py") if name.startswith("lab")}
    assert not {name for name in importers("lab") if name.startswith("flanneld_py")}


@pytest.mark.parametrize(
    ("library", "owner"),
    [
        ("docker", "lab.engine"),
        ("pyroute2", "flanneld_py.kernel"),
        ("etcd3", "flanneld_py.registry.etcd"),
        ("grpc", "flanneld_py.registry.etcd"),
    ],
)
def test_one_module_alone_speaks_with_each_outside_library(library, owner):
    assert {name for name in importers(library) if not name.startswith(owner)} == set()


def test_nothing_sleeps():
    sleepers = {module_name(path) for path in SOURCES if "time.sleep" in imports(path)}
    calls = {module_name(path) for path in SOURCES if "sleep(" in path.read_text()}
    assert sleepers | calls == set()


@pytest.mark.parametrize("package", sorted(CORE))
def test_the_core_has_no_effects_and_imports_only_the_core(package):
    for path in SOURCES:
        name = module_name(path)
        inner = name.removeprefix(f"{package}.")
        if not name.startswith(f"{package}.") or inner not in CORE[package]:
            continue
        for imported in imports(path):
            assert imported.split(".")[0] not in EFFECTS, f"{name} imports {imported}"


def test_shell_scripts_parse():
    for script in [*ROOT.glob("tools/*"), *ROOT.glob("images/*/files/**/lab-*"), ROOT / ".ci" / "run"]:
        if script.is_file() and script.read_bytes().startswith(b"#!") and b"sh" in script.read_bytes()[:30]:
            subprocess.run(["bash", "-n", str(script)], check=True)


@pytest.mark.parametrize(
    "workflow", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.name
)
def test_workflows_follow_their_schema(workflow):
    run("check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(workflow))
