"""Every expected output was written by flannel v0.5.5's own dist/mk-docker-opts.sh, run by bash 5.2."""

import os
import stat
import sys
from pathlib import Path

import pytest

from flanneld_py.mk_docker_opts import elsewhere, main

FULL = "FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_SUBNET=10.1.74.1/24\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=false\n"
BIP = 'DOCKER_OPT_BIP="--bip=10.1.74.1/24"\n'
IPMASQ = 'DOCKER_OPT_IPMASQ="--ip-masq=true"\n'
MTU = 'DOCKER_OPT_MTU="--mtu=1472"\n'
COMBINED = 'DOCKER_OPTS=" --bip=10.1.74.1/24 --ip-masq=true --mtu=1472 "\n'


class Script:
    """mk-docker-opts.sh with a subnet.env and an output file of its own."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.env = directory / "subnet.env"
        self.out = directory / "docker"
        self._monkeypatch = monkeypatch
        for name in [name for name in os.environ if name.startswith(("DOCKER_OPT", "FLANNEL_"))]:
            monkeypatch.delenv(name)

    def run(self, *argv: str, text: str | None = FULL, **environ: str) -> int:
        if text is not None:
            self.env.write_text(text)
        for name, value in environ.items():
            self._monkeypatch.setenv(name, value)
        paths = ["-f", str(self.env), "-d", str(self.out)]
        self._monkeypatch.setattr(sys, "argv", ["mk-docker-opts.sh", *paths, *argv])
        return main()


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    return Script(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], BIP + IPMASQ + MTU + COMBINED),
        (["-i"], BIP + IPMASQ + MTU),
        (["-c"], COMBINED),
        (["-i", "-c"], BIP + IPMASQ + MTU + COMBINED),
        (["-ic"], BIP + IPMASQ + MTU + COMBINED),
        (["-m"], BIP + MTU + 'DOCKER_OPTS=" --bip=10.1.74.1/24 --mtu=1472 "\n'),
        (
            ["-k", "DOCKER_NETWORK_OPTIONS", "-c"],
            'DOCKER_NETWORK_OPTIONS=" --bip=10.1.74.1/24 --ip-masq=true --mtu=1472 "\n',
        ),
        (["-cmkFOO"], 'FOO=" --bip=10.1.74.1/24 --mtu=1472 "\n'),
        (["-i", "--", "-c"], BIP + IPMASQ + MTU),
        (["word", "-i"], BIP + IPMASQ + MTU + COMBINED),
        (
            ["-c", "-k", "DOCKER_OPT_BIP"],
            'DOCKER_OPT_BIP="--bip=10.1.74.1/24 --bip=10.1.74.1/24 --ip-masq=true --mtu=1472 "\n',
        ),
    ],
)
def test_the_flags_choose_what_is_written(script: Script, argv: list[str], expected: str) -> None:
    assert script.run(*argv) == 0
    assert script.out.read_text() == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, 'DOCKER_OPTS=" "\n'),
        ("", 'DOCKER_OPTS=" "\n'),
        (
            FULL.replace("false", "true"),
            BIP
            + 'DOCKER_OPT_IPMASQ="--ip-masq=false"\n'
            + MTU
            + 'DOCKER_OPTS=" --bip=10.1.74.1/24 --ip-masq=false --mtu=1472 "\n',
        ),
        (FULL.replace("false", ""), BIP + MTU + 'DOCKER_OPTS=" --bip=10.1.74.1/24 --mtu=1472 "\n'),
        (
            "# c\n\nexport FLANNEL_MTU=\"1400\" # x\nFLANNEL_SUBNET='10.1.2.1/24'\n",
            'DOCKER_OPT_BIP="--bip=10.1.2.1/24"\nDOCKER_OPT_MTU="--mtu=1400"\n'
            'DOCKER_OPTS=" --bip=10.1.2.1/24 --mtu=1400 "\n',
        ),
        (
            FULL + 'DOCKER_OPTS="--x"\nDOCKER_OPT_Z=--z\n',
            BIP
            + IPMASQ
            + MTU
            + 'DOCKER_OPT_Z="--z"\nDOCKER_OPTS="--x --bip=10.1.74.1/24 --ip-masq=true --mtu=1472 --z "\n',
        ),
    ],
)
def test_what_the_file_says_becomes_options(script: Script, text: str | None, expected: str) -> None:
    assert script.run(text=text) == 0
    assert script.out.read_text() == expected


def test_nothing_to_say_individually_gives_an_empty_file(script: Script) -> None:
    assert script.run("-i", text=None) == 0
    assert script.out.read_text() == ""


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (
            {"DOCKER_OPTS": "--debug -H unix://"},
            'DOCKER_OPTS="--debug -H unix:// --bip=10.1.74.1/24 --ip-masq=true --mtu=1472 "\n',
        ),
        (
            {"DOCKER_OPT_LOG": "--log-level=warn", "DOCKER_OPT_A": ""},
            'DOCKER_OPTS="  --bip=10.1.74.1/24 --ip-masq=true --log-level=warn --mtu=1472 "\n',
        ),
        ({"FLANNEL_MTU": "9000"}, COMBINED),
    ],
)
def test_what_the_environment_holds_comes_before(
    script: Script, environ: dict[str, str], expected: str
) -> None:
    assert script.run("-c", **environ) == 0
    assert script.out.read_text() == expected


def test_the_environment_stands_in_for_a_missing_file(script: Script) -> None:
    assert script.run("-c", text=None, FLANNEL_SUBNET="10.9.9.1/24") == 0
    assert script.out.read_text() == 'DOCKER_OPTS=" --bip=10.9.9.1/24 "\n'


def test_an_invalid_ipmasq_leaves_the_old_options(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    script.out.write_text("old\n")
    assert script.run(text=FULL.replace("false", "maybe")) == 1
    assert capsys.readouterr().err == "Invalid value of FLANNEL_IPMASQ: maybe\n"
    assert script.out.read_text() == "old\n"


def test_an_invalid_ipmasq_does_not_matter_when_it_is_left_out(script: Script) -> None:
    assert script.run("-m", "-c", text=FULL.replace("false", "maybe")) == 0


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["-x"], "mk-docker-opts.sh: illegal option -- x\n"),
        (["-ih"], "mk-docker-opts.sh: illegal option -- h\n"),
        (["--help"], "mk-docker-opts.sh: illegal option -- -\n"),
        (["-k"], "mk-docker-opts.sh: option requires an argument -- k\n"),
    ],
)
def test_a_bad_flag_prints_the_usage(
    script: Script, argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.run(*argv) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"{message}usage: mk-docker-opts.sh [-f ")
    assert not script.out.exists()


def test_a_key_that_is_no_variable_is_refused(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.run("-k", "A-B") == 1
    assert "-k A-B: not the name of a variable" in capsys.readouterr().err


def test_a_line_for_a_shell_is_not_executed_but_told(
    script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.run("-c", text=FULL + "touch /nonexistent/x\n") == 0
    assert "ignored, because it is not an assignment: touch /nonexistent/x" in capsys.readouterr().err
    assert script.out.read_text() == COMBINED


def test_nothing_else_is_left_beside_the_output(script: Script, tmp_path: Path) -> None:
    assert script.run() == 0
    assert {path.name for path in tmp_path.iterdir()} == {"subnet.env", "docker"}
    assert stat.S_IMODE(script.out.stat().st_mode) == 0o644


def test_a_link_is_followed_and_the_mode_kept(script: Script, tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.write_text("old")
    real.chmod(0o600)
    script.out.symlink_to(real)
    assert script.run("-c") == 0
    assert script.out.is_symlink()
    assert real.read_text() == COMBINED
    assert stat.S_IMODE(real.stat().st_mode) == 0o600


def test_a_device_is_written_to_and_stays(script: Script, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    script.out = fifo
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert script.run("-c") == 0
        assert os.read(reader, 4096) == COMBINED.encode()
    finally:
        os.close(reader)
    assert fifo.is_fifo()


def test_an_output_that_cannot_be_written_is_an_error(
    script: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script.out = tmp_path / "missing" / "docker"
    assert script.run() == 1
    assert "No such file or directory" in capsys.readouterr().err


# /proc/net/route of a little-endian machine with these routes: default via 192.0.2.1, 10.1.74.0/24 via
# 192.0.2.9, 10.1.0.0/16 dev flannel0.
HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
DEFAULT = "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
BY_ANOTHER = "eth0\t004A010A\t090200C0\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
OVERLAY = "flannel0\t0000010A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
BRIDGE = "docker0\t004A010A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"


@pytest.mark.skipif(sys.byteorder == "big", reason="the routes above are of a little-endian machine")
@pytest.mark.parametrize(
    ("routes", "told"),
    [
        (
            BY_ANOTHER,
            "mk-docker-opts.sh: Your routing table already contains the subnet: "
            "10.1.74.0/24 via 192.0.2.9 dev eth0\n",
        ),
        (BRIDGE, ""),
        ("", ""),
    ],
    ids=["another machine", "docker's own", "nobody"],
)
def test_a_subnet_that_is_routed_elsewhere_is_warned_of_in_todays_scripts_words(
    script: Script,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    routes: str,
    told: str,
) -> None:
    table = tmp_path / "route"
    table.write_text(HEAD + DEFAULT + OVERLAY + routes)
    monkeypatch.setattr("flanneld_py.mk_docker_opts.ROUTES", table)
    assert script.run() == 0
    assert script.out.read_text() == BIP + IPMASQ + MTU + COMBINED
    assert capsys.readouterr().err == told


@pytest.mark.parametrize("subnet", ["", "10.1.74.1", "10.1.74.1/33", "10.1.74.1/x", "fd00::1/64", "x/24"])
def test_what_is_no_subnet_is_routed_nowhere(subnet: str) -> None:
    assert elsewhere(subnet, HEAD + DEFAULT + BY_ANOTHER) == ""
