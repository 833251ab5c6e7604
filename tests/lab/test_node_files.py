import json

import pytest

from lab import spec
from lab.errors import Unfit
from lab.faults.inside import SERVICES
from lab.node.etcd import etcd_conf
from lab.node.files import PROGRAMS, SPEC_FILE, daemon_files, node_files, sysconfig

MINION = spec.tutorial().minions[0]
(MASTER,) = spec.tutorial().running("etcd")


def test_the_settings_are_the_tutorials_with_the_interface_named():
    # The tutorial's section 3.4. Its FLANNEL_OPTIONS is a comment; a lab's machines have no default
    # route for flanneld to find its interface by, so here it names one.
    assert sysconfig(spec.tutorial(), MINION).data.decode().splitlines() == [
        "# Flanneld configuration options",
        "# etcd url location",
        'FLANNEL_ETCD="http://centos-master:2379"',
        "",
        "# etcs config key",
        'FLANNEL_ETCD_KEY="/coreos.com/network"',
        "",
        "# Any additonal options",
        'FLANNEL_OPTIONS="-iface=eth0"',
    ]


def test_another_prefix_reaches_flanneld_as_an_option():
    # The tutorial's ExecStart= passes -etcd-endpoints and FLANNEL_OPTIONS only.
    other = spec.tutorial().model_copy(update={"etcd_prefix": "/kube-centos/network"})
    text = sysconfig(other, MINION).data.decode()
    assert 'FLANNEL_ETCD_KEY="/kube-centos/network"' in text
    assert 'FLANNEL_OPTIONS="-iface=eth0 -etcd-prefix=/kube-centos/network"' in text


def test_what_the_label_lacks_is_on_the_master_for_root_alone():
    lab = spec.tutorial()
    assert "p123456" not in lab.public().to_json()
    assert spec.LabSpec.from_json(lab.public().to_json()) == lab.public()
    file = node_files(lab, MASTER, "amd64")[SPEC_FILE]
    assert spec.LabSpec.from_json(file.data.decode()) == lab
    assert file.mode == 0o600
    assert SPEC_FILE not in node_files(lab, MINION, "amd64")


def binary(tmp_path, data=b"#!/bin/sh\n", **options):
    path = tmp_path / "flanneld"
    path.write_bytes(data)
    text = f"flanneld: {{binary: flanneld, options: {list(options.get('options', ()))}}}"
    return spec.load(text, tmp_path / "lab.yaml")


def test_a_node_with_a_flanneld_of_its_own_runs_that_one(tmp_path):
    lab = binary(tmp_path)
    files = node_files(lab, lab.minions[0], "amd64")
    assert files["/usr/bin/flanneld"].data == b"#!/bin/sh\n"
    assert files["/usr/bin/flanneld"].mode == 0o755
    assert "/usr/bin/flanneld" not in node_files(spec.tutorial(), MINION, "amd64")
    programs = {path for program in PROGRAMS for path in program.texts()}
    of_master = {SPEC_FILE, "/etc/etcd/etcd.conf", *SERVICES, *programs}
    assert node_files(lab, MASTER, "amd64").keys() == of_master


def test_etcd_is_the_tutorials_and_advertises_the_name_that_the_lab_file_gives_its_machine():
    # The tutorial's etcd.conf is a CentOS package's with localhost changed to 0.0.0.0.
    renamed = MASTER.model_copy(update={"name": "head"})
    for node, name in ((MASTER, "centos-master"), (renamed, "head")):
        lines = etcd_conf(node, [node]).data.decode().splitlines()
        assert "ETCD_NAME=default" in lines
        assert 'ETCD_LISTEN_CLIENT_URLS="http://0.0.0.0:2379"' in lines
        assert f'ETCD_ADVERTISE_CLIENT_URLS="http://{name}:2379"' in lines


def test_several_members_of_etcd_know_each_other_and_every_flanneld_knows_all():
    # etcd's clustering guide: a static cluster.
    second = MASTER.model_copy(update={"name": "second", "host": 61})
    lab = spec.tutorial().model_copy(update={"nodes": (MASTER, second, MINION)})
    files = node_files(lab, second, "amd64")
    lines = files["/etc/etcd/etcd.conf"].data.decode().splitlines()
    assert "ETCD_NAME=second" in lines
    assert 'ETCD_INITIAL_ADVERTISE_PEER_URLS="http://second:2380"' in lines
    every = "centos-master=http://centos-master:2380,second=http://second:2380"
    assert f'ETCD_INITIAL_CLUSTER="{every}"' in lines
    assert SPEC_FILE not in files
    endpoints = 'FLANNEL_ETCD="http://centos-master:2379,http://second:2379"'
    assert endpoints in sysconfig(lab, MINION).data.decode().splitlines()


def test_a_machine_may_run_etcd_and_flanneld():
    both = MASTER.model_copy(update={"services": ("etcd", "flanneld", "docker")})
    lab = spec.tutorial().model_copy(update={"nodes": (both,)})
    files = node_files(lab, both, "amd64")
    assert {"/etc/etcd/etcd.conf", "/etc/sysconfig/flanneld"} <= files.keys()


REQUIRES = "/etc/systemd/system/docker.service.requires/flanneld.service"


def of(tmp_path, **node):
    """The files of the only machine of a lab, by path."""
    document = {"name": "demo", "nodes": [{"name": "x", "host": 2, **node}], "pods": []}
    lab = spec.load(json.dumps(document), tmp_path / "lab.yaml")
    files = node_files(lab, lab.nodes[0], "amd64")
    return {path: file.data.decode() for path, file in files.items() if not path.startswith("/usr/lib/")}


def test_a_docker_without_flanneld_starts_on_its_own_and_with_its_own_address(tmp_path):
    # An empty file in /etc masks the dependency of that name in /usr/lib (systemd.unit(5)).
    files = of(tmp_path, services=["docker"])
    assert files[REQUIRES] == ""
    lines = files["/etc/systemd/system/docker.service.d/bip.conf"].splitlines()
    assert lines == ["[Service]", "EnvironmentFile=", "EnvironmentFile=-/etc/sysconfig/docker"]


def test_a_docker_may_have_an_address_and_options_of_the_lab_files(tmp_path):
    files = of(tmp_path, services=["docker"], docker={"bip": "10.9.1.1/24", "options": ["--debug", "--ipv6"]})
    drop_in = files["/etc/systemd/system/docker.service.d/bip.conf"]
    assert "Environment=DOCKER_OPT_BIP=--bip=10.9.1.1/24" in drop_in.splitlines()
    assert files["/etc/sysconfig/docker"] == 'OPTIONS="--debug --ipv6"\n'


def test_a_docker_may_wait_for_a_subnet_env_that_another_daemon_writes(tmp_path):
    files = of(tmp_path, services=["docker"], docker={"bip": "from-subnet-env"})
    assert files[REQUIRES] == ""
    waiting = files["/etc/systemd/system/lab-subnet-env.service"]
    assert "ExecStart=/usr/local/sbin/lab-docker-opts" in waiting.splitlines()
    drop_in = files["/etc/systemd/system/docker.service.d/subnet-env.conf"].splitlines()
    assert drop_in == ["[Unit]", "Requires=lab-subnet-env.service", "After=lab-subnet-env.service"]


def test_the_tutorials_docker_is_the_images_and_is_started_with_flanneld():
    # A start of Docker that waits for flanneld is called off when that fails: systemd.unit(5), Requires=.
    files = node_files(spec.tutorial(), MINION, "amd64")
    units = "/etc/systemd/system"
    assert {path for path in files if path.startswith("/etc") and "docker" in path} == {
        f"{units}/flanneld.service.d/docker.conf",
        f"{units}/lab-docker-follows.path",
        f"{units}/lab-docker-follows.service",
    }
    with_docker = files[f"{units}/flanneld.service.d/docker.conf"].data.decode()
    assert with_docker == "[Unit]\nWants=docker.service lab-docker-follows.path\n"


def test_with_ipv6_docker_leaves_no_route_of_a_former_subnet():
    described = {"underlay": {"ipv6": True}, "flannel": {"config": {
        "Network": "10.2.0.0/16", "EnableIPv6": True, "IPv6Network": "2001:cafe:42::/56",
        "Backend": {"Type": "vxlan"},
    }}}  # fmt: skip
    files = node_files(spec.load(json.dumps(described), "six.yaml"), MINION, "amd64")
    drop_in = files["/etc/systemd/system/docker.service.d/former-routes.conf"].data.decode()
    assert "exec ip -6 route flush dev docker0 proto boot" in drop_in


def test_a_lab_files_own_files_and_units_are_on_the_machine(tmp_path):
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    files = [
        {"path": "/usr/local/bin/run", "from": "run.sh", "mode": "0755"},
        {"path": "/etc/x", "text": "ü"},
    ]
    found = of(tmp_path, services=[], files=files, units={"mine.service": "[Service]\n"})
    assert found["/usr/local/bin/run"] == "#!/bin/sh\n"
    assert found["/etc/x"] == "ü"
    assert found["/etc/systemd/system/mine.service"] == "[Service]\n"


def test_a_file_that_has_changed_since_the_lab_file_was_read_is_refused(tmp_path):
    (tmp_path / "run.sh").write_text("one")
    nodes = [{"name": "x", "host": 2, "services": [], "files": [{"path": "/x", "from": "run.sh"}]}]
    lab = spec.load(json.dumps({"nodes": nodes}), tmp_path / "lab.yaml")
    (tmp_path / "run.sh").write_text("two")
    with pytest.raises(Unfit, match="has changed since the lab file was read"):
        node_files(lab, lab.nodes[0], "amd64")


def test_a_flanneld_has_its_own_options_after_the_labs(tmp_path):
    lab = binary(tmp_path, options=["-iptables-forward-rules=false"])
    text = sysconfig(lab, lab.minions[0]).data.decode()
    assert 'FLANNEL_OPTIONS="-iface=eth0 -iptables-forward-rules=false"' in text


def test_a_flanneld_that_has_changed_since_it_was_looked_at_is_refused(tmp_path):
    lab = binary(tmp_path)
    (tmp_path / "flanneld").write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(Unfit, match="has changed since the lab file was read"):
        node_files(lab, lab.minions[0], "amd64")


def test_a_flanneld_for_another_architecture_is_refused_with_both(tmp_path):
    # e_machine 183 is EM_AARCH64 of linux/elf-em.h, e_type 2 is ET_EXEC.
    lab = binary(tmp_path, b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00")
    with pytest.raises(Unfit, match="is for arm64, and the engine's machines are amd64"):
        node_files(lab, lab.minions[0], "amd64")
    assert node_files(lab, lab.minions[0], "arm64")["/usr/bin/flanneld"].data.startswith(b"\x7fELF")


def test_with_the_v2_store_etcd_offers_it_and_only_our_daemon_is_told(tmp_path):
    lab = binary(tmp_path).model_copy(update={"etcd_api": "v2"})
    etcd = node_files(lab, MASTER, "amd64")["/etc/systemd/system/etcd.service.d/v2.conf"]
    assert "Environment=ETCD_ENABLE_V2=true" in etcd.data.decode().splitlines()
    # flannel 0.5.5 knows no other store, and no such option.
    assert "-etcd-api" not in sysconfig(lab, lab.minions[0]).data.decode()
    assert 'FLANNEL_OPTIONS="-iface=eth0 -etcd-api=v2"' in sysconfig(lab, MINION).data.decode()


def test_the_daemons_sources_go_where_its_launcher_looks(tmp_path):
    (tmp_path / "backend" / "udp").mkdir(parents=True)
    (tmp_path / "cli.py").write_text("one")
    (tmp_path / "backend" / "udp" / "config.py").write_text("two")
    (tmp_path / "fast_path.o").write_bytes(b"\x7fELF")
    (tmp_path / "core.c").write_text("int core;")
    (tmp_path / "core.x86_64.so").write_bytes(b"\x7fELF")
    (tmp_path / "notes.txt").write_text("not a source")
    files = daemon_files(tmp_path)
    assert {path: content.data for path, content in files.items()} == {
        "/usr/lib/flanneld/flanneld_py/cli.py": b"one",
        "/usr/lib/flanneld/flanneld_py/backend/udp/config.py": b"two",
        "/usr/lib/flanneld/flanneld_py/core.c": b"int core;",
        "/usr/lib/flanneld/flanneld_py/core.x86_64.so": b"\x7fELF",
        "/usr/lib/flanneld/flanneld_py/fast_path.o": b"\x7fELF",
    }
