"""Lab files as documents: what `lab init` writes, their schema, and what `lab validate` says of them."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from lab import spec
from lab.cli.group import run
from lab.errors import Unfit
from lab.spec.document import commented, json_schema
from tests.docs import LAB_FILE_SCHEMA, schema_text
from tests.schemas import problems

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted([*ROOT.glob("examples/*.yaml"), *ROOT.glob("examples/*/*.yaml")])
WRONG = "nodes:\n- {name: a, role: mastre, host: 2}\n- {name: b, rolle: minion, host: 300}\n"


@cache
def validator() -> Draft202012Validator:
    return Draft202012Validator(json_schema())


def refused_by_schema(text: str) -> list[str]:
    return [error.json_path for error in validator().iter_errors(yaml.safe_load(text))]


def test_lab_init_writes_the_tutorials_cluster_and_says_what_comes_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "lab.yaml"
    assert run(["init", str(file)]) == 0
    assert spec.load_file(file) == spec.tutorial()
    assert f"lab up -f {file}" in capsys.readouterr().out


def test_lab_init_replaces_a_file_only_if_it_is_told_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text("name: mine\n")
    assert run(["init", str(file)]) == 2
    assert capsys.readouterr().err == f"lab: {file} is there already\n--force replaces it.\n"
    assert file.read_text() == "name: mine\n"
    assert run(["init", "--force", str(file)]) == 0
    assert file.read_text() == commented()


def test_lab_init_names_a_place_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["init", str(tmp_path / "no" / "lab.yaml")]) == 2
    assert "cannot be written: No such file or directory" in capsys.readouterr().err


def test_lab_init_prints_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "-"]) == 0
    assert capsys.readouterr().out == commented()


def uncommented() -> str:
    """The file with every key that stands in a comment taken out of it."""
    lines = []
    for line in commented().splitlines():
        key = re.fullmatch(r"( *)# ((- |  )*[\w.]+:.*|- \{.*|- name: .*|  +\S.*)", line)
        lines.append(f"{key[1]}{key[2]}" if key and not line.startswith("#   lab ") else line)
    return "\n".join(lines)


def test_what_stands_in_the_comments_of_that_file_is_right_as_well(tmp_path: Path) -> None:
    (tmp_path / "mine.sh").write_text("#!/bin/sh\n")
    (tmp_path / "flanneld").write_text("#!/bin/sh\n")
    lab = spec.load(uncommented(), tmp_path / "lab.yaml")
    first = lab.nodes[1]
    assert str(lab.underlay) == "192.168.50.0/24"
    assert first.docker.bip == "10.9.1.1/24"
    assert [file.path for file in first.files] == ["/usr/local/bin/mine", "/etc/mine.conf"]
    assert list(first.units) == ["mine.service"]
    assert lab.nodes[3].services == ("flanneld", "docker")
    assert [check.within for check in lab.checks] == [5]
    assert lab.pods == ()


def keys(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for model in (schema, *schema["$defs"].values()):
        yield from model["properties"].items()


def test_every_key_of_the_schema_says_what_it_means() -> None:
    assert [name for name, key in keys(json_schema()) if not key.get("description")] == []


def test_the_schema_in_the_documentation_is_the_one_that_lab_schema_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["schema"]) == 0
    assert LAB_FILE_SCHEMA.read_text() == capsys.readouterr().out == schema_text(), "run: make docs"
    Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_schema_takes_every_example_and_each_names_the_schema(file: Path) -> None:
    text = file.read_text()
    assert refused_by_schema(text) == []
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert named is not None
    assert (file.parent / named[1]).resolve() == LAB_FILE_SCHEMA


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (WRONG, "$.nodes[0].role"),
        ("nodez: []", "$"),
        ("nodes: []", "$.nodes"),
        ("flannel: {etcdApi: v4}", "$.flannel.etcdApi"),
        ("checks: [{name: a, node: b, run: x, within: 61}]", "$.checks[0].within"),
    ],
)
def test_the_schema_refuses_what_the_lab_refuses(text: str, path: str) -> None:
    assert path in refused_by_schema(text)
    with pytest.raises(Unfit):
        spec.load(text, "lab.yaml")


@pytest.fixture
def validate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`lab validate` of two files, the second of which is wrong, where they are."""
    (tmp_path / "right.yaml").write_text("name: right\npods: []\n")
    (tmp_path / "wrong.yaml").write_text(WRONG)
    monkeypatch.chdir(tmp_path)
    return lambda *more: run(["validate", *more, "right.yaml", "wrong.yaml"])


def test_lab_validate_tells_everything_that_is_wrong_and_what_the_right_ones_describe(
    validate: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert validate() == 2
    out, err = capsys.readouterr()
    assert out == (
        "The lab right: 3 nodes (etcd on 1, flanneld on 2, docker on 2), 0 pods, "
        "the overlay 10.2.0.0/16 with flannel's backend udp\n"
    )
    assert err.splitlines() == [
        "wrong.yaml: nodes[0].role: expected 'master' or 'minion'; got 'mastre'; did you mean master?",
        "wrong.yaml: nodes[1].host: expected less than or equal to 254; got 300",
        "wrong.yaml: nodes[1].rolle: not supported by the lab; did you mean role?",
    ]


def test_lab_validate_as_json(validate: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert validate("--json") == 2
    document = json.loads(capsys.readouterr().out)
    assert problems("validated", document) == []
    assert [(item["file"], item["valid"], len(item["problems"])) for item in document["files"]] == [
        ("right.yaml", True, 0),
        ("wrong.yaml", False, 3),
    ]


def test_a_pod_that_has_no_node_to_run_on_is_found_before_anything_is_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pod = "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, image: mysql}]}}"
    file = tmp_path / "lab.yaml"
    file.write_text(f"nodes: [{{name: m, role: master, host: 2}}]\npods: [{pod}]\n")
    assert run(["validate", str(file)]) == 2
    assert "pod p: the lab has no node that runs docker" in capsys.readouterr().err
