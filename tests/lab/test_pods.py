import json
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import IPv4Address
from itertools import pairwise
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lab import pods
from lab.cli.common import as_text
from lab.errors import LabError, Unfit
from lab.pods import ContainerSpec, EnvVar, PodSpec, Port, manifest
from lab.render.documents import pods as as_documents
from tests.effort import examples
from tests.lab.manifests import TUTORIAL_POD, pod_specs


def one(text: str = TUTORIAL_POD) -> PodSpec:
    (pod,) = manifest.parse(text, "mysqlpod01.yaml")
    return pod


def changed(old: str, new: str) -> str:
    assert old in TUTORIAL_POD
    return TUTORIAL_POD.replace(old, new)


def refused(text: str) -> list[str]:
    with pytest.raises(Unfit) as error:
        manifest.parse(text, "mysqlpod01.yaml")
    return error.value.message.splitlines()


def test_the_tutorials_pod_is_read_as_it_stands() -> None:
    assert one() == PodSpec(
        name="mysql01",
        labels={"name": "mysql01"},
        node=None,
        restart_policy="Always",
        containers=(
            ContainerSpec(
                name="mysql01",
                image="mysql",
                env=(EnvVar(name="MYSQL_ROOT_PASSWORD", value="p123456"),),
                ports=(Port(container_port=3306),),
            ),
        ),
    )


def test_several_documents_are_several_pods_and_empty_ones_are_none() -> None:
    text = f"---\n{TUTORIAL_POD}---\n{TUTORIAL_POD.replace('01', '02')}---\n"
    assert [pod.name for pod in manifest.parse(text, "f")] == ["mysql01", "mysql02"]


def test_a_key_with_nothing_after_it_means_its_absence() -> None:
    assert one(changed("      value: p123456\n", "      value:\n")).environment == {"MYSQL_ROOT_PASSWORD": ""}


@examples(10)
@given(pod_specs)
def test_what_a_pods_variables_hold_is_read_from_its_containers_and_stands_in_no_label(pod: PodSpec) -> None:
    parts = []
    for item in pod.containers:
        argv = pods.docker_argv(pod, item)
        labels = dict(word.split("=", 1) for flag, word in pairwise(argv) if flag == "--label")
        values = [word for flag, word in pairwise(argv) if flag == "--env"]
        parts.append(
            inspected("container")
            | {
                "Name": f"/{pods.container_name(pod.name, item.name)}",
                "Config": {"Labels": labels, "Env": ["PATH=/usr/bin", *values]},
            }
        )
        label = pods.PodSpec.model_validate_json(labels["lab.pod.spec"])
        assert not any(label.environment.values())
        assert label == pod.without_values()
    found = seen(*parts).spec
    assert [item.environment for item in found.containers] == [item.environment for item in pod.containers]
    assert found.without_values() == pod.without_values()


@examples(10)
@given(pod_specs)
def test_a_pod_written_as_yaml_is_read_back_the_same(pod: PodSpec) -> None:
    assert manifest.parse(yaml.safe_dump(pod.to_document(), allow_unicode=True), "f") == (pod,)


@examples(10)
@given(pod_specs)
def test_a_pods_label_gives_back_the_pod_without_what_its_variables_hold(pod: PodSpec) -> None:
    argv = pods.infra_argv(pod)
    (text,) = [word.partition("=")[2] for word in argv if word.startswith("lab.pod.spec=")]
    assert PodSpec.model_validate_json(text) == pod.without_values()


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (
            "    image: mysql\n",
            "    image: mysql\n    volumeMounts: [{name: data, mountPath: /data}]\n",
            "spec.containers[0].volumeMounts: not supported by the lab",
        ),
        ("spec:\n", "spec:\n  hostNetwork: true\n", "spec.hostNetwork: not supported by the lab"),
        (
            "3306\n",
            "3306\n      hostPort: 1\n",
            "spec.containers[0].ports[0].hostPort: not supported by the lab",
        ),
        ("kind: Pod\n", "", "kind: required"),
        ("kind: Pod\n", "kind: Deployment\n", "kind: the lab runs only Pods; got 'Deployment'"),
        (
            "    image: mysql\n",
            "    image: mysql\n    imagePullPolicy: Sometimes\n",
            "spec.containers[0].imagePullPolicy: "
            "the lab has only Always or IfNotPresent or Never here; got 'Sometimes'",
        ),
        (
            "  containers:",
            "  dnsPolicy: None\n  containers:",
            "spec.dnsPolicy: the lab has only ClusterFirst here; got 'None'",
        ),
        ("  labels:", "  lables:", "metadata.lables: not supported by the lab; did you mean labels?"),
        ("    image: mysql\n", "", "spec.containers[0].image: required"),
        (
            "image: mysql",
            "image: MySQL",
            "spec.containers[0].image: 'MySQL' is not an image name: "
            "expected [HOST[:PORT]/]NAME[:TAG][@sha256:DIGITS]; names are lower-case",
        ),
        (
            "image: mysql",
            "image: ''",
            "spec.containers[0].image: '' is not an image name: "
            "expected [HOST[:PORT]/]NAME[:TAG][@sha256:DIGITS]",
        ),
        (
            "containerPort: 3306",
            "containerPort: '3306'",
            "spec.containers[0].ports[0].containerPort: expected a whole number; got '3306'",
        ),
        (
            "value: p123456",
            "value: 123456",
            "spec.containers[0].env[0].value: a string is required, "
            "and 123456 is none in YAML: put it in quotes",
        ),
        (
            "value: p123456",
            "value: 1.10",
            "spec.containers[0].env[0].value: "
            "a string is required, and 1.10 is none in YAML: put it in quotes",
        ),
        ("value: p123456", "value: [p]", "spec.containers[0].env[0].value: expected a string; got ['p']"),
        (
            "  name: mysql01\n  labels",
            "  name: My_SQL\n  labels",
            "metadata.name: 'My_SQL' is not a name: at most 63 lower-case letters, digits and '-', "
            "with a letter or digit at both ends",
        ),
        (
            "spec:\n",
            "spec:\n  restartPolicy: Sometimes\n",
            "spec.restartPolicy: expected 'Always', 'OnFailure' or 'Never'; got 'Sometimes'",
        ),
    ],
)
def test_what_is_wrong_is_named_by_its_path(old: str, new: str, complaint: str) -> None:
    assert refused(changed(old, new)) == [f"mysqlpod01.yaml: {complaint}"]


def test_all_errors_are_told_at_once() -> None:
    text = changed("image: mysql", "volumes: 1").replace("value:", "values:")
    assert refused(f"{TUTORIAL_POD}---\n{text}") == [
        "mysqlpod01.yaml, document 2: spec.containers[0].image: required",
        "mysqlpod01.yaml, document 2: spec.containers[0].env[0].values: "
        "not supported by the lab; did you mean value?",
        "mysqlpod01.yaml, document 2: spec.containers[0].volumes: not supported by the lab",
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: [", "line 1, column 5: expected the node content, but found '<stream end>'"),
        ("kind: Pod\nkind: Pod\n", "line 2, column 1: the key kind is there twice"),
        ("? [a]\n: b\n", "line 1, column 3: found unhashable key"),
        ("", "it contains no Pod"),
        ("- a\n", "expected a mapping; got ['a']"),
    ],
)
def test_a_text_that_is_no_pod_says_where_and_why(text: str, complaint: str) -> None:
    assert refused(text)[0] == f"mysqlpod01.yaml: {complaint}"


# `kubectl run web --image=mysql --port=80 --dry-run=client -o yaml`, kubectl 1.29.
KUBECTL_RUN = """\
apiVersion: v1
kind: Pod
metadata:
  creationTimestamp: null
  labels:
    run: web
  name: web
spec:
  containers:
  - image: mysql
    name: web
    ports:
    - containerPort: 80
    resources: {}
  dnsPolicy: ClusterFirst
  restartPolicy: Always
status: {}
"""


def test_what_kubectl_run_prints_is_read() -> None:
    container = ContainerSpec(name="web", image="mysql", ports=(Port(container_port=80),))
    assert one(KUBECTL_RUN) == PodSpec(name="web", labels={"run": "web"}, containers=(container,))


def test_what_changes_nothing_is_taken() -> None:
    text = changed("  labels", "  namespace: default\n  uid: 3\n  labels").replace(
        "    image: mysql\n",
        "    image: mysql\n    imagePullPolicy: IfNotPresent\n    volumeMounts: []\n    tty: false\n",
    )
    assert (
        one(text.replace("spec:\n", "spec:\n  volumes: []\n  hostNetwork: false\n  priority: 0\n")) == one()
    )


def test_a_date_is_text_as_for_kubernetes() -> None:
    assert one(changed("p123456", "2016-03-13")).environment == {"MYSQL_ROOT_PASSWORD": "2016-03-13"}


def test_what_is_no_pod_is_one_line() -> None:
    deployment = (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 1, template: {}}\n"
    )
    assert refused(f"{TUTORIAL_POD}---\n{deployment}") == [
        "mysqlpod01.yaml, document 2: kind: the lab runs only Pods; got 'Deployment'"
    ]


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | st.text(max_size=5)
keys = st.sampled_from(
    [
        "apiVersion",
        "kind",
        "metadata",
        "spec",
        "name",
        "labels",
        "containers",
        "image",
        "env",
        "value",
        "args",
    ]
)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | scalars, inner, max_size=4)
)


@given(documents)
def test_any_document_is_a_pod_or_is_refused(document: object) -> None:
    with suppress(Unfit):
        manifest.from_document(document, "f.yaml")


@given(st.text("ab:-[]{}&*!?'\"|>#% \n\t0.1é\x00"))
def test_any_text_is_a_pod_or_is_refused(text: str) -> None:
    with pytest.raises(Unfit, match=r"f\.yaml"):
        manifest.parse(text, "f.yaml")


def test_two_pods_or_two_containers_of_one_name_are_refused() -> None:
    assert refused(f"{TUTORIAL_POD}---\n{TUTORIAL_POD}") == ["mysqlpod01.yaml: two Pods are called mysql01"]
    twice = changed("  containers:\n", "  containers:\n  - name: mysql01\n    image: mysql\n")
    assert refused(twice) == ["mysqlpod01.yaml: spec.containers: two containers are called mysql01"]


def spec(name: str, node: str | None = None) -> PodSpec:
    return PodSpec(name=name, node=node, containers=(ContainerSpec(name="c", image="i"),))


def test_a_pod_runs_on_the_node_that_it_names() -> None:
    assert pods.place([spec("a", "n2")], ["n1", "n2"], {"n1": 0, "n2": 9}) == {"a": "n2"}


def test_a_pod_that_names_no_node_runs_where_there_are_fewest_and_ties_go_by_name() -> None:
    found = pods.place([spec("a"), spec("b"), spec("c")], ["n2", "n1"], {"n1": 1, "n2": 0})
    assert found == {"a": "n2", "b": "n1", "c": "n2"}


def test_a_node_that_is_no_minion_is_refused_with_the_candidates() -> None:
    with pytest.raises(Unfit) as error:
        pods.place([spec("a", "master"), spec("b", "n9")], ["n2", "n1"], {})
    assert error.value.message.splitlines() == [
        "pod a: spec.nodeName: master does not run docker; those that do: n1, n2",
        "pod b: spec.nodeName: n9 does not run docker; those that do: n1, n2",
    ]


@given(
    st.dictionaries(st.sampled_from(["n1", "n2", "n3", "n4"]), st.integers(0, 5), min_size=1),
    st.lists(st.none() | st.integers(0, 3), max_size=12),
)
def test_placement_is_balanced(counts: dict[str, int], wishes: list[int | None]) -> None:
    nodes = sorted(counts)
    wanted = [
        spec(f"p{i}", None if wish is None else nodes[wish % len(nodes)]) for i, wish in enumerate(wishes)
    ]
    placed = pods.place(wanted, nodes, counts)
    assert list(placed) == [pod.name for pod in wanted]
    load = {node: counts[node] + sum(where == node for where in placed.values()) for node in nodes}
    chosen = {placed[pod.name] for pod in wanted if pod.node is None}
    assert all(load[node] <= min(load.values()) + 1 for node in chosen)


def test_the_infra_container_holds_the_host_name_and_is_never_restarted_by_docker() -> None:
    argv = pods.infra_argv(one())
    assert argv[:3] == ["docker", "run", "--detach"]
    assert argv[-1] == "lab-pause"
    assert "--pull=never" in argv
    assert "--restart=no" in argv
    assert argv[argv.index("--name") + 1] == "lab-pod-mysql01"
    assert argv[argv.index("--hostname") + 1] == "mysql01"
    assert argv[argv.index("--stop-signal") + 1] == "SIGKILL"
    assert {"lab.pod=mysql01", "lab.pod.part=infra", "lab.pod.restart=Always"} <= set(argv)


def test_a_container_joins_the_pods_namespace_with_its_environment() -> None:
    pod = one()
    argv = pods.docker_argv(pod, pod.containers[0])
    assert argv[-1] == "mysql"
    assert argv[argv.index("--network") + 1] == "container:lab-pod-mysql01"
    assert argv[argv.index("--name") + 1] == "mysql01_mysql01"
    assert argv[argv.index("--env") + 1] == "MYSQL_ROOT_PASSWORD=p123456"
    assert {"--pull=never", "--restart=always", "lab.pod=mysql01", "lab.pod.part=container"} <= set(argv)
    assert "--entrypoint" not in argv


@pytest.mark.parametrize(
    ("policy", "docker"), [("Always", "always"), ("OnFailure", "on-failure"), ("Never", "no")]
)
def test_a_container_that_ends_is_restarted_as_the_policy_says(policy: str, docker: str) -> None:
    pod = one(changed("spec:\n", f"spec:\n  restartPolicy: {policy}\n"))
    assert f"--restart={docker}" in pods.docker_argv(pod, pod.containers[0])


# https://kubernetes.io/docs/tasks/inject-data-application/define-command-argument-container/
@pytest.mark.parametrize(
    ("extra", "entrypoint", "tail"),
    [
        ("    args: [a, b]\n", None, ["mysql", "a", "b"]),
        ("    command: [c]\n", "c", ["mysql"]),
        ("    command: [c, d]\n    args: [a]\n", "c", ["mysql", "d", "a"]),
    ],
)
def test_command_replaces_the_entrypoint_and_args_its_arguments(
    extra: str, entrypoint: str | None, tail: list[str]
) -> None:
    pod = one(changed("    image: mysql\n", f"    image: mysql\n{extra}"))
    argv = pods.docker_argv(pod, pod.containers[0])
    assert argv[argv.index("mysql") :] == tail
    assert (argv[argv.index("--entrypoint") + 1] if "--entrypoint" in argv else None) == entrypoint


# https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
def test_variables_are_expanded_as_kubernetes_does() -> None:
    container = ContainerSpec(
        name="c",
        image="i",
        env=(
            EnvVar(name="EARLY", value="$(LATER)"),
            EnvVar(name="LATER", value="x"),
            EnvVar(name="BOTH", value="$(EARLY) $(LATER) $$(LATER) $LATER"),
        ),
        args=("$(LATER)", "$(NONE)"),
    )
    assert container.environment == {"EARLY": "$(LATER)", "LATER": "x", "BOTH": "$(LATER) x $(LATER) $LATER"}
    assert pods.docker_argv(spec("p"), container)[-3:] == ["i", "x", "$(NONE)"]


def inspected(part: str, status: str = "running", **state: Any) -> dict[str, Any]:
    pod = one()
    labels = {
        "lab.pod": pod.name,
        "lab.pod.part": part,
        "lab.pod.spec": pod.without_values().model_dump_json(exclude_defaults=True),
    }
    environment = ["LC_ALL=C.UTF-8"]
    environment += [f"{name}={value}" for name, value in pod.environment.items() if part == "container"]
    return {
        "Name": "/lab-pod-mysql01" if part == "infra" else "/mysql01_mysql01",
        "Created": "2016-03-13T11:24:58.123456789Z",
        "Config": {"Labels": labels, "Env": environment},
        "State": {"Status": status, "Pid": 4711, "ExitCode": 0} | state,
        "RestartCount": 0 if part == "infra" else 2,
        "NetworkSettings": {
            "Networks": {"bridge": {"IPAddress": "10.2.52.2"}} if part == "infra" else {},
        },
    }


def seen(*parts: dict[str, Any]) -> pods.RunningPod:
    (pod,) = pods.parse_inspect("centos-minion02", json.dumps(parts))
    return pod


def test_a_pod_that_runs_is_read_from_its_containers() -> None:
    pod = seen(inspected("container"), inspected("infra"))
    assert (pod.name, pod.node, pod.address) == ("mysql01", "centos-minion02", IPv4Address("10.2.52.2"))
    assert (pod.ready, pod.status, pod.restarts) == ("1/1", "Running", 2)
    assert pod.created == datetime(2016, 3, 13, 11, 24, 58, 123456, UTC)
    assert pod.spec == one()
    assert pod.container() == pod.container("mysql01") == "mysql01_mysql01"
    assert pod.infra_pid == 4711


@pytest.mark.parametrize(
    ("parts", "status", "ready"),
    [
        ([inspected("infra")], "ContainerCreating", "0/1"),
        ([inspected("infra"), inspected("container", "created")], "ContainerCreating", "0/1"),
        ([inspected("infra"), inspected("container", "restarting", ExitCode=1)], "CrashLoopBackOff", "0/1"),
        ([inspected("infra"), inspected("container", "exited", ExitCode=1)], "Error", "0/1"),
        ([inspected("infra"), inspected("container", "exited")], "Completed", "0/1"),
        ([inspected("infra"), inspected("container", "paused")], "Paused", "0/1"),
        ([inspected("infra", "exited"), inspected("container")], "NotReady", "1/1"),
        ([inspected("container")], "NotReady", "1/1"),
    ],
)
def test_the_status_is_the_word_that_kubectl_shows(
    parts: list[dict[str, Any]], status: str, ready: str
) -> None:
    pod = seen(*parts)
    assert (pod.status, pod.ready) == (status, ready)


@pytest.mark.parametrize(
    ("policy", "code", "status"),
    [
        ("Always", 0, "NotReady"),
        ("OnFailure", 0, "Completed"),
        ("OnFailure", 1, "NotReady"),
        ("Never", 0, "Completed"),
    ],
)
def test_a_pod_whose_work_is_done_stays_completed_after_a_reboot(policy: str, code: int, status: str) -> None:
    pod = one(changed("spec:\n", f"spec:\n  restartPolicy: {policy}\n"))
    parts = [inspected("infra", "exited", ExitCode=137), inspected("container", "exited", ExitCode=code)]
    for part in parts:
        part["Config"]["Labels"]["lab.pod.spec"] = pod.model_dump_json(exclude_defaults=True)
    assert seen(*parts).status == status


def test_a_pod_without_its_infra_container_has_no_address() -> None:
    pod = seen(inspected("infra", "exited", Pid=0), inspected("container"))
    assert pod.address is None
    assert pod.infra_pid == 0


def test_no_containers_are_no_pods() -> None:
    assert pods.parse_inspect("n", "[]") == ()


def test_a_container_that_the_pod_has_not_is_refused_with_those_it_has() -> None:
    with pytest.raises(Unfit, match="the pod mysql01 has no container web; it has: mysql01"):
        seen(inspected("infra"), inspected("container")).container("web")
    with pytest.raises(LabError, match="its container mysql01 is not on centos-minion02"):
        seen(inspected("infra")).container()


@pytest.mark.parametrize("text", ["", "{}x", '[{"Config": {}}]', "[3]"])
def test_what_is_not_dockers_answer_is_reported_with_its_text(text: str) -> None:
    with pytest.raises(LabError, match="n: reading the pods from docker inspect"):
        pods.parse_inspect("n", text)


def test_json_shows_a_pods_variables_without_what_they_hold() -> None:
    text = as_text(as_documents([seen(inspected("container"), inspected("infra"))]))
    assert "MYSQL_ROOT_PASSWORD" in text
    assert "p123456" not in text
