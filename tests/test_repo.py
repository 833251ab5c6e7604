"""Rules about the source itself: lint, types, and which part may import which."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import pytest
import yaml
from check_jsonschema import main as check_jsonschema  # type: ignore[import-untyped]
from click.testing import CliRunner

from lab import labels
from tests.sources import ROOT, SOURCES, imports, module_name, text, tree

# Modules and whole packages.
CORE = {
    "lab": {
        "backends", "bench.figures", "bench.plan", "bench.reading", "bench.report", "bench.targets",
        "bench.topology", "bench.ways", "bpf.code", "bundle.answers", "bundle.archive", "bundle.contents",
        "bundle.model", "bundle.page", "bundle.plan", "bundle.questions",
        "bundle.redact", "bundle.timeline", "capture.happenings", "capture.merge",
        "capture.model", "capture.order", "capture.pcapng", "capture.places", "capture.summary",
        "capture.times", "capture.wire", "checks.catalog", "checks.expected",
        "checks.finding", "checks.hidden", "checks.left_out", "checks.links", "checks.registry",
        "checks.values", "clocks.compare", "cluster.plan", "confinement", "copying.ends", "copying.paths",
        "doctor.case", "doctor.catalog", "doctor.host_seen",
        "doctor.model", "doctor.parse", "doctor.parse_units", "doctor.questions", "doctor.registry",
        "doctor.seen", "doctor.table", "engine.endpoint", "engine.swarm", "errors", "faults.catalog",
        "faults.impairment.evidence", "faults.impairment.line",
        "faults.impairment.model", "faults.impairment.pipeline", "faults.impairment.plan",
        "faults.impairment.seen", "faults.impairment.selector", "faults.impairment.status",
        "faults.impairment.units", "faults.impairment.xdp", "faults.inside.rulesets", "faults.options",
        "faults.plan", "faults.registry", "faults.status", "faults.table", "faults.targets", "flannel",
        "graph", "lab_names", "labels", "node.docker", "node.etcd", "node.journal", "node.nat",
        "node.services",
        "observe.model", "observe.parse", "observe.questions", "packet_filter", "page", "pods", "protocols",
        "queueing", "render", "report.documents", "report.model", "report.of_files", "report.of_lab",
        "report.page", "report.parts", "report.phases", "report.style", "report.summary", "report.verdict",
         "scale.faults", "scale.figures", "scale.plan", "scale.report", "scale.setting",
         "scale.simulation.costs", "scale.simulation.daemon", "scale.simulation.engine",
         "scale.simulation.etcd", "scale.simulation.fit",
         "scale.simulation.policies", "scale.simulation.results", "scale.simulation.world",
         "soak.evidence", "soak.history",
        "soak.invariants", "soak.outcome", "soak.recipes", "soak.records", "soak.remains", "soak.schedule",
        "soak.shrink", "soak.spans", "soak.timeline", "soak.workload", "spec", "suggest",
        "trace.asked", "trace.drop_reasons", "trace.evidence", "trace.fixes", "trace.inside.btf",
        "trace.inside.drop_program", "trace.machine", "trace.marks", "trace.model",
        "trace.neighbours", "trace.packet", "trace.rule_trace", "trace.traffic_control", "trace.tunnels",
        "trace.verdict", "trace.walk", "trace.witness", "trace.world",
        "tutorial.document", "tutorial.install", "tutorial.numbers", "tutorial.page", "tutorial.proof",
        "tutorial.step", "tutorial.steps", "tutorial.words",
        "validation", "web.changes", "web.document", "web.guard", "web.links", "web.model", "web.words",
        "yamltext",
    },
    "flanneld_py": {
        "backend.alloc.config", "backend.extension.commands", "backend.extension.config",
        "backend.host_gw.config", "backend.host_gw.entries", "backend.ipip.config", "backend.ipip.entries",
        "backend.ledger", "backend.peers", "backend.udp.config", "backend.vxlan.config",
        "backend.vxlan.entries", "backend.wireguard.config", "backend.wireguard.peers", "config",
        "daemon.claim",
        "datapath.announcement", "datapath.coalesce", "datapath.core.provenance", "datapath.fast_path.image",
        "datapath.fast_path.layouts", "datapath.forward", "datapath.icmp", "datapath.pacing",
        "datapath.packet", "datapath.roster", "datapath.segment", "datapath.sums",
        "datapath.token_bucket", "datapath.trains", "datapath.vnet", "errors", "firewall.iptables_text",
        "firewall.nft_text", "firewall.rules", "kernel.addresses", "kernel.desired", "kernel.devices",
        "kernel.entries", "kernel.limits", "kernel.neighbour_messages", "kernel.netlink",
        "kernel.next_hop_messages", "kernel.nft_elements",
        "kernel.rtnetlink", "kernel.stale", "kernel.wg_peer", "lease.admission", "lease.allocate",
        "lease.assignments", "lease.model", "lease.subnet_env", "lease.validation", "monitor.statistics",
        "options",
        "registry.access", "registry.announcements", "registry.remote.messages",
        "registry.remote.protocol", "registry.watchdog", "runtime.backoff", "runtime.environment",
        "runtime.log_sampling", "runtime.once", "server.history", "server.messages", "subnet",
        "underlay.changes", "underlay.interface",
    },
}  # fmt: skip
# Each room imports from those before it alone.
ROOMS = [
    "errors", "subnet", "runtime", "options", "config", "lease", "underlay", "kernel", "monitor", "firewall",
    "datapath", "registry", "backend", "server", "daemon", "commands", "cli", "mk_docker_opts",
]  # fmt: skip
EFFECTS = {"asyncio", "docker", "etcd3", "grpc", "os", "pyroute2", "random", "select", "shutil", "signal"} | {
    "socket", "subprocess", "threading", "time",
}  # fmt: skip


def run(*argv: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *argv], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


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


def test_the_daemons_rooms_stand_on_each_other_and_none_imports_one_above_it():
    for path in ROOT.glob("flanneld_py/*/**/*.py"):
        room = module_name(path).split(".")[1]
        for imported in imports(path):
            package, _, rest = imported.partition(".")
            other = rest.partition(".")[0]
            if package == "flanneld_py" and other in ROOMS:
                assert ROOMS.index(other) <= ROOMS.index(room), f"{module_name(path)} imports {imported}"


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


def test_netlink_messages_are_written_and_read_in_the_kernels_room_alone():
    for module in ("netlink", "rtnetlink", "addresses"):
        names = importers(f"flanneld_py.kernel.{module}")
        assert {name for name in names if not name.startswith("flanneld_py.kernel.")} == set(), module


def of_the_lab(names: set[str]) -> set[str]:
    """Without what runs elsewhere, with a deadline of its own or for as long as it is wanted."""
    return {name for name in names if name.startswith("lab.") and ".inside." not in name}


def test_no_program_of_this_machine_is_run_without_a_deadline():
    # These start what is to stay: the engine, and the connection to one behind ssh.
    to_stay = {"lab.host", "lab.engine.ssh"}
    assert of_the_lab(importers("subprocess")) == {"lab.programs", *to_stay}
    ran = {module_name(path) for path in SOURCES if "subprocess.run" in text(path)}
    assert ran & to_stay == set()


def test_no_thread_of_the_lab_can_fail_unheard():
    with_threads = [path for path in SOURCES if "Thread" in text(path)]
    starters = {
        module_name(path) for path in with_threads if re.search(r"\bThread(PoolExecutor)?\(", text(path))
    }
    assert of_the_lab(starters) == {"lab.threads"}


def test_nothing_sleeps():
    sleepers = {module_name(path) for path in SOURCES if "time.sleep" in imports(path)}
    calls = {module_name(path) for path in SOURCES if "sleep(" in text(path)}
    assert sleepers | calls == set()


def core_modules(package: str) -> list[Path]:
    """The files of a package's core; a name in CORE that has no file is a mistake in CORE."""
    wanted = {f"{package}.{name}" for name in CORE[package]}
    found = {
        path: name
        for path in SOURCES
        for name in accumulate(module_name(path).split("."), "{}.{}".format)
        if name in wanted
    }
    assert set(found.values()) == wanted
    return sorted(found)


@pytest.mark.parametrize("package", sorted(CORE))
def test_the_core_has_no_effects(package):
    for path in core_modules(package):
        for imported in imports(path):
            assert imported.split(".")[0] not in EFFECTS, f"{module_name(path)} imports {imported}"


@pytest.mark.parametrize("package", sorted(CORE))
def test_the_core_imports_nothing_but_the_core(package):
    core = {module_name(path) for path in core_modules(package)}
    # What these export to the core is pure; that importing them also imports the rest has no effect.
    allowed = core | {"lab.engine", "lab.checks", "lab.observe", "lab.tutorial", package}
    allowed.add("lab.inside")  # reads our own sources
    allowed |= {"flanneld_py.backend", "flanneld_py.backend.catalog", "flanneld_py.registry"}
    for path in core_modules(package):
        for imported in imports(path):
            if imported.split(".")[0] == package:
                parents = {imported, imported.rpartition(".")[0]}
                assert parents & allowed, f"{module_name(path)} imports {imported}"


DOCKER_PROGRAM = re.compile(
    r"\bdocker (build|buildx|context|cp|exec|image|images|import|info|inspect|kill|load|login|logs|network|"
    r"ps|pull|push|rm|rmi|run|save|start|stop|system|tag|version|volume)\b"
)


def hints(path: Path) -> Iterator[str]:
    """What a file's errors advise: the text of every `hint=` and `.hint =`."""
    for node in ast.walk(tree(path)):
        match node:
            case ast.keyword(arg="hint", value=advice) | ast.Assign([ast.Attribute(attr="hint")], advice):
                yield " ".join(str(it.value) for it in ast.walk(advice) if isinstance(it, ast.Constant))


def test_nobody_is_asked_to_run_dockers_own_program():
    """Debian 13's docker.io has none: it is in docker-cli, which a page for real hosts may name."""
    for path in SOURCES:
        for advice in hints(path) if "hint" in text(path) and "docker " in text(path) else ():
            assert not DOCKER_PROGRAM.search(advice), f"{module_name(path)}: {advice}"
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        commands = [line for line in page.read_text().splitlines() if re.match(r"\s*(\$ )?docker ", line)]
        assert commands == [] or "docker-cli" in page.read_text(), page


NAMES = r"name|spec|host|user|version|node|services|complete|image|cache|seed|engine|pod(?:\.\w+)?"
LABEL = re.compile(rf"\blab\.(?:{NAMES})\b")
LITERAL = re.compile(rf"[\"'}}]lab\.(?:{NAMES})\b")
"""Where a string, or what follows a brace in one, begins with a label."""


def test_labels_have_one_home():
    for path in set(SOURCES) - {ROOT / "lab" / "labels.py"}:
        for node in ast.walk(tree(path)) if LITERAL.search(text(path)) else ():
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and node.value.startswith("lab.")
            ):
                assert not LABEL.match(node.value), f"{module_name(path)}: {node.value!r} is a label"


def test_the_images_use_no_label_that_has_no_home():
    known = {value for value in vars(labels).values() if isinstance(value, str)}
    for path in ROOT.glob("images/**/*"):
        if path.is_file():
            assert set(LABEL.findall(path.read_text())) <= known, path


def test_contributing_names_no_file_that_is_not_there():
    told = (ROOT / "CONTRIBUTING.md").read_text()
    paths = re.findall(r"`((?:lab|flanneld_py|tests|docs|images|locks|tools|\.github)/[\w./*-]*)`", told)
    assert len(paths) > 10
    assert [path for path in paths if not any(ROOT.glob(path))] == []


def test_shell_scripts_parse():
    for script in [*ROOT.glob("tools/*"), *ROOT.glob("images/*/files/**/lab-*"), ROOT / ".ci" / "run"]:
        if script.is_file() and script.read_bytes().startswith(b"#!") and b"sh" in script.read_bytes()[:30]:
            subprocess.run(["bash", "-n", str(script)], check=True)


def follows(schema: str, document: Path) -> None:
    """Of those schemas that the program check-jsonschema brings; in this process, its start takes longest."""
    done = CliRunner().invoke(check_jsonschema, ["--builtin-schema", schema, str(document)])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    "workflow", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.name
)
def test_workflows_follow_their_schema(workflow):
    follows("vendor.github-workflows", workflow)


def test_the_action_follows_its_schema():
    follows("vendor.github-actions", ROOT / "action.yml")


def test_the_actions_scripts_have_no_expression_in_them():
    """What an input holds would be run as a program."""
    steps = yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"]
    assert [step["run"] for step in steps if "${{" in step["run"]] == []


def test_the_workflow_for_other_repositories_follows_its_schema_and_the_actions_inputs(tmp_path):
    blocks = re.findall(r"(?ms)^```yaml\n(.*?)^```$", (ROOT / "docs" / "lab.md").read_text())
    (workflow,) = [block for block in blocks if "runs-on:" in block]
    (tmp_path / "workflow.yml").write_text(workflow)
    follows("vendor.github-workflows", tmp_path / "workflow.yml")
    inputs = yaml.safe_load((ROOT / "action.yml").read_text())["inputs"]
    (job,) = yaml.safe_load(workflow)["jobs"].values()
    (given,) = [step["with"] for step in job["steps"] if "/overlay-lab@" in step.get("uses", "")]
    assert given.keys() <= inputs.keys()


PROGRAMS = ROOT / "tests" / "kernel" / "programs"
STARTED = re.compile(r"\b(?:start|run_python|program)\(\s*\"([a-z_]+)\"")


def test_every_program_of_the_kernel_tests_is_there_and_is_used():
    """Also those of tests that this kernel skips."""
    used = {
        name
        for path in (ROOT / "tests" / "kernel").rglob("*.py")
        for name in STARTED.findall(path.read_text(encoding="utf-8"))
    }
    there = {path.stem for path in PROGRAMS.glob("*.py")} - {"__init__"}
    assert (used - there, there - used) == (set(), set())
