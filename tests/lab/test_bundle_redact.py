"""No password and no key is in a bundle, in whatever way a program prints it."""

import base64
import json
import shlex
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.bundle.contents import bundle_of
from lab.bundle.questions import CREDENTIALS_PATH, SPEC_PATH
from lab.bundle.redact import MARK, Redaction, redaction_for
from lab.checks.values import Data
from lab.spec import load
from tests.lab.bundles import ONE, TWO, bundled_lab, evidence, journal_line, with_password

PASSWORD = 'pa"ss<w>örd $x\\'
PASSWORDS = st.text(
    st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="[]redact"), min_size=4, max_size=30
)


def printed(password: str) -> dict[str, str]:
    """The ways in which programs print a password."""
    go = json.dumps(password, ensure_ascii=False)
    for character in "<>&":
        go = go.replace(character, f"\\u{ord(character):04x}")
    return {
        "a log": f"the password is {password} today",
        "an environment": f"MYSQL_ROOT_PASSWORD={password}\nPATH=/bin\n",
        "Python's JSON": json.dumps({"Env": [f"MYSQL_ROOT_PASSWORD={password}"]}),
        "Go's JSON": f'{{"Env":["MYSQL_ROOT_PASSWORD={go[1:-1]}"]}}',
        "JSON in JSON": json.dumps(json.dumps(password)),
        "a shell's command": f"mysql -p{shlex.quote(password)} -h 10.2.1.2",
        "a URL": f"mysql://root:{quote(password, safe='')}@10.2.1.2/",
        "base64": base64.b64encode(password.encode()).decode(),
    }


@given(PASSWORDS)
def test_a_password_is_replaced_however_a_program_prints_it(password: str) -> None:
    redaction = Redaction(frozenset({password}))
    for text in printed(password).values():
        assert password not in redaction.text(text)
        assert MARK in redaction.text(text)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAKC\n-----END RSA PRIVATE KEY-----\nafter", "MIIEow"),
        ('"key": "-----BEGIN PRIVATE KEY-----\\nMIIEow\\n-----END PRIVATE KEY-----"', "MIIEow"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk", "b3BlbnNz"),
        (f"older\n{'MIIEow' * 10}\n{'IBAAKC' * 10}\n-----END PRIVATE KEY-----\n", "MIIEow"),
        ("env MYSQL_PWD=hunter2 mysql -uroot", "hunter2"),
        ('{"db_password": "hunter2"}', "hunter2"),
        ("net.ipv4.tcp_fastopen_key = 9c3e5b41-1cb6a7ae-0c9f4e2d-2b1d3e4f", "9c3e5b41"),
        ("net.ipv6.conf.all.stable_secret = fd00::1234", "fd00::1234"),
        ("/usr/bin/flanneld -etcd-password hunter2 -iface=eth0", "hunter2"),
        ("etcdctl --user=root --password=hunter2 get x", "hunter2"),
        ('{"Backend": {"Type": "wireguard", "PSK": "aGVsbG8gd29ybGQ="}}', "aGVsbG8"),
        (r'"{\"Backend\":{\"PSK\":\"aGVsbG8gd29ybGQ=\"}}"', "aGVsbG8"),
        ("http://proxy:hunter2@10.0.0.1:3128", "hunter2"),
        ("Authorization: Bearer eyJhbGciOiJIUzI1NiJ9", "eyJhbGci"),
        ("A temporary password is generated for root@localhost: dF?g(8s=1", "dF?g"),
    ],
)
def test_what_nobody_has_told_the_lab_is_found_by_its_form(text: str, secret: str) -> None:
    shown = Redaction().text(text)
    assert secret not in shown
    assert MARK in shown
    assert Redaction().text(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "Access denied for user 'root'@'10.2.35.1' (using password: YES)",
        '{"PublicIP":"192.168.199.52","BackendData":{"PublicKey":"eNnmzkSmP1A9o9o5sZrQ0tS0r0fVv2k0mA0f1Z9n1nI="}}',
        "/coreos.com/network/subnets/10.2.35.0-24",
        "flanneld -etcd-keyfile=/etc/etcd/client.key -iface=eth0",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "10.2.52.0/24 dev docker0 proto kernel scope link src 10.2.52.1",
        "systemd-ask-password-console.path loaded active waiting",
        "lowerdir=/var/lib/docker/overlay2/l/ERHZIONXQ4IBKPSKHGFCIIXEUB:/var/lib/docker/overlay2/l/X",
        'FLANNEL_ETCD_KEY="/coreos.com/network"',
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redaction().text(text) == text


def test_a_short_value_is_replaced_after_its_name_and_nowhere_else() -> None:
    redaction = Redaction(frozenset({"1"}), frozenset({"DEBUG"}))
    assert redaction.text("DEBUG=1 uptime 11 XDEBUG=1") == f"DEBUG={MARK} uptime 11 XDEBUG=1"


def test_json_stays_json_and_environments_keep_their_names_alone() -> None:
    redaction = Redaction(frozenset({"12345"}))
    data: Data = {
        "Config": {"Env": ["A=1", "B=x=y"], "User": "12345"},
        "Size": 12345,
        "apiToken": "x",
        "n": None,
    }
    assert redaction.data(data) == {
        "Config": {"Env": [f"A={MARK}", f"B={MARK}"], "User": MARK},
        "Size": 12345,
        "apiToken": MARK,
        "n": None,
    }


@pytest.mark.parametrize("name", ["MYSQL_ROOT_PASSWORD", "GREETING"])
def test_what_a_pods_variables_hold_is_nowhere_in_a_bundle(name: str) -> None:
    spec = with_password(PASSWORD, name)
    everywhere = "\n".join(printed(PASSWORD).values())
    lab = bundled_lab(
        spec,
        {
            "centos-master": {"etcd/version.txt": (everywhere, everywhere, 1)},
            ONE: {
                "system/processes.txt": (everywhere, "", 0),
                "journal/all.log": (journal_line(everywhere, 5), "", 0),
                "docker/logs": (json.dumps({"container": "a", "log": everywhere, "status": 0}), "", 0),
            },
        },
    )
    note = {"event": "note", "at": "2026-11-29T09:15:00+00:00", "text": everywhere}
    collected = evidence(lab, why=everywhere, events=(note,))
    for entry in bundle_of(collected).entries:
        for spelling in {
            PASSWORD,
            *(json.dumps(PASSWORD, ensure_ascii=each)[1:-1] for each in (True, False)),
        }:
            assert spelling not in str(entry.content), entry.path
            assert spelling not in entry.command


def test_values_are_learned_from_the_containers_where_the_master_does_not_answer() -> None:
    lab = bundled_lab(
        with_password("s3cret-value", "GREETING"), {"centos-master": {SPEC_PATH: ("", "gone", 1)}}
    )
    assert redaction_for(evidence(lab)).values == {"s3cret-value"}


def test_values_are_learned_from_the_lab_file_where_no_machine_answers() -> None:
    lab = bundled_lab(answers={"centos-master": {SPEC_PATH: ("", "", 1)}})
    spec = with_password("s3cret-value")
    collected = evidence(lab, spec=spec, machines=())
    assert "s3cret-value" in redaction_for(collected).values
    assert all("s3cret-value" not in str(entry.content) for entry in bundle_of(collected).entries)


def test_a_preshared_key_in_flannels_configuration_is_replaced_everywhere() -> None:
    key = "c2VjcmV0IG9mIHRoZSB0dW5uZWwgaXMgaGVyZSEhISE="
    config = {"Network": "10.2.0.0/16", "Backend": {"Type": "wireguard", "PSK": key}}
    spec = load(json.dumps({"flannel": {"config": config}}), "psk.yaml", name="psk")
    lab = bundled_lab(spec, {TWO: {"journal/flanneld.log": (journal_line(f"using {key}", 1), "", 0)}})
    found = bundle_of(evidence(lab, spec=spec)).entries
    assert [entry.path for entry in found if key in str(entry.content)] == []


def test_the_passwords_of_etcds_users_are_replaced_everywhere() -> None:
    spec = load("{etcd: {auth: true}}", "auth.yaml", name="auth")
    lab = bundled_lab(
        spec,
        {
            "centos-master": {
                CREDENTIALS_PATH: ("ETCDCTL_USER=root\nETCDCTL_PASSWORD=r00t-s3cret\n", "", 0),
                "journal/etcd.log": (journal_line("who says r00t-s3cret is root", 1), "", 0),
            },
            ONE: {
                CREDENTIALS_PATH: ("ETCDCTL_USER=root\nFLANNEL_PASSWORD=fl4nnel-s3cret\n", "", 0),
                "flannel/options.txt": ("FLANNELD_ETCD_USERNAME=flannel\nX=fl4nnel-s3cret\n", "", 0),
            },
        },
    )
    found = {entry.path: str(entry.content) for entry in bundle_of(evidence(lab)).entries}
    assert [path for path, text in found.items() if "s3cret" in text] == []
    assert "who says [redacted] is root" in found["nodes/centos-master/journal/etcd.log"]
    assert [path for path in found if "secrets" in path] == []
