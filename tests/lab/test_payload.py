from lab import spec
from lab.payload import daemon_files, node_files, sysconfig

MINION = spec.tutorial().minions[0]


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


def test_the_daemons_sources_go_where_its_launcher_looks(tmp_path):
    (tmp_path / "backend").mkdir()
    (tmp_path / "cli.py").write_text("one")
    (tmp_path / "backend" / "udp.py").write_text("two")
    (tmp_path / "notes.txt").write_text("not a source")
    files = daemon_files(tmp_path)
    assert {path: content.data for path, content in files.items()} == {
        "/usr/lib/flanneld/flanneld_py/cli.py": b"one",
        "/usr/lib/flanneld/flanneld_py/backend/udp.py": b"two",
    }
