"""Expected texts and statuses were read off flannel v0.5.5 and v0.20.2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanneld_py.errors import Exit, Fatal
from flanneld_py.options import Options, UsageError, parse, usage


def test_the_defaults_are_flannels() -> None:
    """`flanneld -help` of v0.5.5 and v0.20.2; ip-blackhole-route's is v0.27.1's."""
    assert parse([], {}) == Options(
        etcd_endpoints=("http://127.0.0.1:4001", "http://127.0.0.1:2379"),
        etcd_prefix="/coreos.com/network",
        subnet_file="/run/flannel/subnet.env",
        subnet_dir="/run/flannel/networks",
        subnet_lease_renew_margin=60,
        ip_masq=False,
        ip_masq_fully_random_disable=False,
        iptables_resync=5,
        iptables_forward_rules=True,
        ip_blackhole_route=False,
        healthz_ip="0.0.0.0",
        healthz_port=0,
        v=0,
    )


def test_the_defaults_of_our_own_flags_are_flannels_behaviour() -> None:
    options = parse([], {})
    assert (options.etcd_api, options.subnet_allocation, options.vxlan_tx_checksum) == (
        "v3",
        "random",
        "auto",
    )
    assert (options.log_format, options.iface_wait) == ("glog", 60)


@pytest.mark.parametrize(
    "argv",
    [["-iface", "eth0"], ["-iface=eth0"], ["--iface", "eth0"], ["--iface=eth0"], ["--iface=eth0", "--"]],
)
def test_a_value_follows_as_argument_or_after_an_equals_sign(argv: list[str]) -> None:
    assert parse(argv, {}).iface == ("eth0",)


def test_the_tutorials_command_line_is_understood() -> None:
    options = parse(["-etcd-endpoints=http://centos-master:2379", "-iface=eth0"], {})
    assert (options.etcd_endpoints, options.iface) == (("http://centos-master:2379",), ("eth0",))


@pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True"])
def test_every_true_of_go_is_true(text: str) -> None:
    assert parse([f"-ip-masq={text}"], {}).ip_masq is True


@pytest.mark.parametrize("text", ["0", "f", "F", "FALSE", "false", "False"])
def test_every_false_of_go_is_false(text: str) -> None:
    assert parse(["-ip-masq", f"--ip-masq={text}"], {}).ip_masq is False


def test_a_bool_does_not_take_the_next_argument() -> None:
    assert parse(["-ip-masq", "-v", "2"], {}).v == 2
    assert parse(["-ip-masq", "false"], {}).help is True


def test_a_value_may_look_like_a_flag() -> None:
    assert parse(["-iface", "-v"], {}).iface == ("-v",)


def test_the_last_of_several_wins() -> None:
    assert parse(["-v=1", "-v=3"], {}).v == 3


@pytest.mark.parametrize(
    ("text", "number"), [("0x10", 16), ("017", 15), ("0b11", 3), ("1_000", 1000), ("+5", 5)]
)
def test_numbers_are_gos(text: str, number: int) -> None:
    assert parse(["-v", text], {}).v == number


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["-foo"], "flag provided but not defined: -foo"),
        (["--foo=1"], "flag provided but not defined: -foo"),
        (["-json"], "flag provided but not defined: -json"),
        (["-etcd-api=v4"], 'invalid value "v4" for flag -etcd-api: give v3 or v2'),
        (["-log-format=xml"], 'invalid value "xml" for flag -log-format: give glog or json'),
        (["-etcd-prefix"], "flag needs an argument: -etcd-prefix"),
        (["---x"], "bad flag syntax: ---x"),
        (["-=x"], "bad flag syntax: -=x"),
        (["-ip-masq=x"], 'invalid boolean value "x" for flag -ip-masq: parse error'),
        (["-ip-masq="], 'invalid boolean value "" for flag -ip-masq: parse error'),
        (["-v=x"], 'invalid value "x" for flag -v: parse error'),
        (
            ["-subnet-lease-renew-margin", "1.5"],
            'invalid value "1.5" for flag -subnet-lease-renew-margin: parse error',
        ),
        (["-v=99999999999999999999"], 'invalid value "99999999999999999999" for flag -v: value out of range'),
    ],
)
def test_what_cannot_be_read_is_told_in_gos_words(argv: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(argv, {})
    assert str(caught.value) == message
    assert caught.value.show_usage


@pytest.mark.parametrize(
    "argv", [["-help"], ["--help"], ["-h"], ["help"], ["-v", "1", "x"], ["-"], ["--", "-v"]]
)
def test_help_or_any_positional_argument_asks_for_the_usage(argv: list[str]) -> None:
    assert parse(argv, {}).help


def test_the_version_is_told_whatever_the_environment_holds() -> None:
    assert parse(["-version"], {"FLANNELD_V": "x", "FLANNELD_VERSION": "9"}).version


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("FLANNELD_ETCD_ENDPOINTS", "http://a:1,http://b:2", "etcd_endpoints", ("http://a:1", "http://b:2")),
        ("FLANNELD_ETCD_PREFIX", "/atomic.io/network", "etcd_prefix", "/atomic.io/network"),
        ("FLANNELD_IFACE", "eth1", "iface", ("eth1",)),
        ("FLANNELD_IP_MASQ", "1", "ip_masq", True),
        ("FLANNELD_PUBLIC_IP", "192.168.199.52", "public_ip", "192.168.199.52"),
        ("FLANNELD_SUBNET_FILE", "/tmp/s.env", "subnet_file", "/tmp/s.env"),  # noqa: S108
        ("FLANNELD_SUBNET_LEASE_RENEW_MARGIN", "5", "subnet_lease_renew_margin", 5),
        ("FLANNELD_V", "10", "v", 10),
    ],
)
def test_every_flag_has_its_variable(name: str, value: str, field: str, expected: object) -> None:
    assert getattr(parse([], {name: value}), field) == expected
    assert name in usage("flanneld")


def test_the_command_line_wins_over_the_environment_even_if_that_is_wrong() -> None:
    assert parse(["-v=1"], {"FLANNELD_V": "x"}).v == 1


def test_an_empty_variable_is_not_set() -> None:
    assert parse([], {"FLANNELD_V": "", "FLANNELD_IP_MASQ": ""}) == parse([], {})


def test_help_and_version_do_not_come_from_the_environment() -> None:
    assert parse([], {"FLANNELD_HELP": "true", "FLANNELD_VERSION": "true"}) == parse([], {})


def test_an_unreadable_variable_is_an_error_of_one_line() -> None:
    with pytest.raises(
        UsageError, match=r'invalid value "notabool" .* FLANNELD_IP_MASQ: parse error'
    ) as caught:
        parse([], {"FLANNELD_IP_MASQ": "notabool"})
    assert not caught.value.show_usage


@pytest.mark.parametrize("minutes", [1, 60, 1439])
def test_the_renewal_margin_lies_within_a_leases_day(minutes: int) -> None:
    assert parse([f"-subnet-lease-renew-margin={minutes}"], {}).subnet_lease_renew_margin == minutes


@pytest.mark.parametrize("minutes", [-1, 0, 1440])
def test_a_renewal_margin_outside_a_leases_day_is_refused(minutes: int) -> None:
    with pytest.raises(Fatal, match=r"^Invalid subnet-lease-renew-margin option, out of acceptable range"):
        parse([f"-subnet-lease-renew-margin={minutes}"], {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://10.0.0.1:2379/", ("http://10.0.0.1:2379",)),
        (" http://a:1 , http://b:2 ,http://a:1", ("http://a:1", "http://b:2")),
        ("http://[::1]:2379", ("http://[::1]:2379",)),
        ("HTTPS://a:2379", ("https://a:2379",)),
        ("a:2379,[::1]:2379", ("http://a:2379", "http://[::1]:2379")),
        ("unix:///run/etcd.sock", ("unix:///run/etcd.sock",)),
    ],
)
def test_endpoints_are_tidied(text: str, expected: tuple[str, ...]) -> None:
    assert parse(["-etcd-endpoints", text], {}).etcd_endpoints == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "http://HOST:PORT"),
        ("http://a:1,", "http://HOST:PORT"),
        ("http://a", "http://HOST:PORT"),
        ("http://:2379", "http://HOST:PORT"),
        ("http://a:0", "http://HOST:PORT"),
        ("http://a:65536", "http://HOST:PORT"),
        ("http://a:2379/path", "http://HOST:PORT"),
        ("http://user@a:2379", "http://HOST:PORT"),
    ],
)
def test_an_endpoint_that_cannot_work_is_refused(text: str, why: str) -> None:
    with pytest.raises(Fatal, match=rf"^-etcd-endpoints: .*{why}"):
        parse(["-etcd-endpoints", text], {})


def test_an_endpoint_without_a_scheme_is_encrypted_where_there_are_files_for_it() -> None:
    """As go.etcd.io/etcd/client/v3, which v0.20.2 uses."""
    options = parse(["-etcd-endpoints=a:2379", "-etcd-cafile=/ca.pem"], {})
    assert options.etcd_endpoints == ("https://a:2379",)
    assert options.notices == ()


def test_a_socket_in_the_file_system_is_of_the_v3_api_alone() -> None:
    with pytest.raises(Fatal, match="v3 API only: give http://HOST:PORT"):
        parse(["-etcd-endpoints=unix:///run/etcd.sock", "-etcd-api=v2"], {})


@pytest.mark.parametrize(("api", "prefix"), [("v3", "coreos.com/network"), ("v2", "/coreos.com/network")])
def test_a_prefix_without_its_slash_is_the_key_that_flannel_reads(api: str, prefix: str) -> None:
    """v0.20.2 asks for the key as it is written; v2 of etcd has a slash before every key."""
    assert parse(["-etcd-prefix=coreos.com/network", f"-etcd-api={api}"], {}).etcd_prefix == prefix


def test_a_carriage_return_at_the_end_of_a_value_belongs_to_the_file_that_it_came_from() -> None:
    options = parse(
        ["-etcd-prefix=/x\r", "-iface", "eth0\r", "-ip-masq\r"], {"FLANNELD_PUBLIC_IP": "192.0.2.7\r"}
    )
    assert (options.etcd_prefix, options.iface) == ("/x", ("eth0",))
    assert (options.ip_masq, options.public_ip) == (True, "192.0.2.7")


def test_a_variable_that_the_unit_file_expands_is_no_mistake() -> None:
    environ = {"FLANNELD_OPTIONS": "-iface=eth0 -ip-masq"}
    assert parse(["-iface=eth0", "-ip-masq"], environ).notices == ()
    assert parse([], environ).notices == ("FLANNELD_OPTIONS has no effect: no flag has this variable",)


def test_the_prefix_is_cleaned_as_flannel_joins_paths() -> None:
    assert parse(["-etcd-prefix=//coreos.com//network/"], {}).etcd_prefix == "/coreos.com/network"


@pytest.mark.parametrize("prefix", ["", "/", "/a/../b"])
def test_a_prefix_that_is_no_directory_is_refused(prefix: str) -> None:
    with pytest.raises(Fatal, match=r"^-etcd-prefix: "):
        parse([f"-etcd-prefix={prefix}"], {})


@pytest.mark.parametrize(
    "address",
    ["nonsense", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "10.0.0.256"],
)
def test_a_public_ip_that_is_none_is_refused_and_not_replaced(address: str) -> None:
    with pytest.raises(Fatal, match=r"^-public-ip: "):
        parse(["-public-ip", address], {})


@pytest.mark.parametrize("path", ["", "/run/flannel/"])
def test_a_subnet_file_without_a_name_is_refused(path: str) -> None:
    with pytest.raises(Fatal, match=r"^-subnet-file: "):
        parse([f"-subnet-file={path}"], {})


# flannel's own lists, from `flanneld -help`.
FLAGS_0_5_5 = [
    "alsologtostderr", "etcd-cafile", "etcd-certfile", "etcd-endpoints", "etcd-keyfile", "etcd-prefix",
    "help", "iface", "ip-masq", "listen", "log_backtrace_at", "log_dir", "logtostderr", "networks",
    "public-ip", "remote", "remote-cafile", "remote-certfile", "remote-keyfile", "stderrthreshold",
    "subnet-dir", "subnet-file", "v", "version", "vmodule",
]  # fmt: skip
FLAGS_0_28_9 = [
    "etcd-cafile", "etcd-certfile", "etcd-endpoints", "etcd-keyfile", "etcd-password", "etcd-prefix",
    "etcd-username", "healthz-ip", "healthz-port", "iface", "iface-can-reach", "iface-regex",
    "ip-blackhole-route", "ip-masq", "ip-masq-fully-random-disable", "iptables-forward-rules",
    "iptables-resync", "kube-annotation-prefix", "kube-api-url", "kube-subnet-mgr", "kubeconfig-file",
    "log_backtrace_at", "net-config-path", "public-ip", "public-ipv6", "set-node-network-unavailable",
    "subnet-file", "subnet-lease-renew-margin", "v", "version", "vmodule",
]  # fmt: skip


@pytest.mark.parametrize("name", sorted({*FLAGS_0_5_5, *FLAGS_0_28_9}))
def test_no_flag_of_any_flannel_is_unknown(name: str) -> None:
    """It is taken, or refused for a reason of its own."""
    try:
        parse([f"-{name}=1"], {})
    except (UsageError, Fatal) as error:
        message = str(error)
    else:
        message = ""
    assert "not defined" not in message


@pytest.mark.parametrize(
    ("argument", "instead"),
    [
        ("-kube-subnet-mgr", "-etcd-endpoints"),
        ("-kube-api-url=http://a:8080", "-etcd-endpoints"),
        ("-kubeconfig-file=/x", "-etcd-certfile"),
        ("-kube-annotation-prefix=x", "-etcd-prefix"),
        ("-net-config-path=/x", "-etcd-prefix"),
        ("-set-node-network-unavailable", "/readyz"),
    ],
)
def test_a_kubernetes_flag_is_refused_with_what_to_use_instead(argument: str, instead: str) -> None:
    name, _, value = argument.partition("=")
    variable = "FLANNELD_" + name.removeprefix("-").upper().replace("-", "_")
    for argv, environ in ([argument], {}), ([], {variable: value or "true"}):
        with pytest.raises(UsageError) as caught:
            parse(argv, environ)
        assert str(caught.value).startswith(f"{name} is not supported: ")
        assert instead in str(caught.value)
        assert not caught.value.show_usage


def test_a_kubernetes_flag_that_asks_for_nothing_is_taken() -> None:
    assert parse(["-kube-subnet-mgr=false", "-kube-api-url="], {}) == parse([], {})


def test_a_unit_file_that_logs_to_stderr_keeps_working_without_a_word() -> None:
    assert parse(["-logtostderr", "-alsologtostderr=true"], {"FLANNELD_LOGTOSTDERR": "1"}).notices == ()


@pytest.mark.parametrize(
    "argument",
    ["-log_dir=/var/log", "-vmodule=udp=2", "-log_backtrace_at=udp.go:1", "-stderrthreshold=INFO"],
)
def test_a_log_flag_that_does_nothing_here_is_taken_and_told(argument: str) -> None:
    (notice,) = parse([argument], {}).notices
    assert notice.startswith(f"{argument.partition('=')[0]} has no effect: ")


def test_a_log_that_is_not_to_go_to_stderr_is_told_where_it_goes() -> None:
    (notice,) = parse(["-logtostderr=false"], {}).notices
    assert "the log goes to standard error" in notice


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (["-etcd-cafile=/ca"], "-etcd-cafile"),
        (["-etcd-username=u", "-etcd-password=p", "-etcd-endpoints=http://a:1"], "-etcd-password"),
        (["-networks=a", "-subnet-file=/x"], "-subnet-file"),
        (["-subnet-dir=/x"], "-subnet-dir"),
    ],
)
def test_flags_that_do_not_fit_together_are_told(argv: list[str], word: str) -> None:
    (notice,) = parse(argv, {}).notices
    assert notice.startswith(word)


def test_a_variable_that_is_mistyped_is_told() -> None:
    """flannel says nothing, and goes by the default."""
    (notice,) = parse([], {"FLANNELD_ETCD_ENDPOINT": "http://a:1", "FLANNEL_ETCD": "x", "PATH": "/"}).notices
    assert notice == "FLANNELD_ETCD_ENDPOINT has no effect: no flag has this variable"


def test_flags_that_repeat_add_up_in_their_order() -> None:
    options = parse(["-iface=eth1", "--iface", "10.0.0.1", "-iface-regex=^en", "-iface-regex=^eth"], {})
    assert options.iface == ("eth1", "10.0.0.1")
    assert options.iface_regex == ("^en", "^eth")


def test_an_interface_that_is_empty_asks_for_nothing() -> None:
    """A unit file's -iface=$FLANNEL_IFACE without that variable; so does flannel."""
    assert parse(["-iface="], {}).iface == ()


def test_what_repeats_is_a_list_with_commas_in_the_environment() -> None:
    assert parse([], {"FLANNELD_IFACE": "eth1, eth0"}).iface == ("eth1", "eth0")
    assert parse(["-iface=eth2"], {"FLANNELD_IFACE": "eth1"}).iface == ("eth2",)


def test_a_comma_inside_brackets_belongs_to_the_regular_expression() -> None:
    regexes = parse([], {"FLANNELD_IFACE_REGEX": r"eth[0-9]{1,2},10\.(2,|3),[,]x"}).iface_regex
    assert regexes == ("eth[0-9]{1,2}", r"10\.(2,|3)", "[,]x")


@pytest.mark.parametrize("regex", ["(", "[", "*", "[[:numeric:]]", r"\pL", "a{2,1}"])
def test_a_regex_that_is_none_is_an_error_at_once(regex: str) -> None:
    with pytest.raises(UsageError, match=r"for flag -iface-regex: "):
        parse(["-iface-regex", regex], {})
    with pytest.raises(UsageError, match=r"FLANNELD_IFACE_REGEX: "):
        parse([], {"FLANNELD_IFACE_REGEX": regex})


def test_a_server_is_no_client() -> None:
    """v0.5.5's words."""
    with pytest.raises(Fatal, match=r"^--listen and --remote are mutually exclusive$") as caught:
        parse(["-listen=:8888", "-remote=10.0.0.1:8888"], {})
    assert caught.value.code == Exit.USAGE


def test_a_server_that_checks_its_clients_certificates_has_one_itself() -> None:
    with pytest.raises(Fatal, match="a server needs its own certificate and -remote-keyfile"):
        parse(["-listen=:8888", "-remote-cafile=/ca.pem"], {})
    assert parse(["-remote=a:8888", "-remote-cafile=/ca.pem"], {}).remote_cafile == "/ca.pem"


@pytest.mark.parametrize("text", [":8888", "0.0.0.0:8888", "tcp://[::1]:8888", "fd://", "fd://3"])
def test_a_server_listens_where_v0_5_5_could(text: str) -> None:
    assert parse(["-listen", text], {}).listen == text


@pytest.mark.parametrize(
    "argument",
    [
        "-listen=8888",
        "-listen=unix:///x",
        "-listen=:70000",
        "-remote=:8888",
        "-remote=http://a:8888",
        "-remote=a:0",
        "-networks=a,,b",
        "-networks=../x",
        "-networks=a/b",
        "-subnet-dir=",
        "-public-ipv6=10.0.0.1",
        "-public-ipv6=::",
        "-public-ipv6=ff02::1",
        "-healthz-ip=localhost",
        "-healthz-port=65536",
        "-healthz-port=-1",
        "-iptables-resync=0",
        "-iface-wait=-1",
        "-iface-can-reach=example.com",
        "-etcd-certfile=/x",
        "-etcd-keyfile=/x",
        "-remote-certfile=/x",
        "-etcd-password=x",
    ],
)
def test_a_value_that_cannot_work_is_refused_by_the_name_of_its_flag(argument: str) -> None:
    with pytest.raises(Fatal, match=rf"^{argument.partition('=')[0]}\b") as caught:
        parse([argument], {})
    assert caught.value.code == Exit.USAGE


def test_networks_are_a_list() -> None:
    assert parse(["-networks=blue, green,blue"], {}).networks == ("blue", "green")


SECRET = "hunter2"


def test_the_password_is_taken_and_never_shown() -> None:
    environ = {"FLANNELD_ETCD_USERNAME": "root", "FLANNELD_ETCD_PASSWORD": SECRET}
    options = parse([], environ)
    assert options.etcd_password == SECRET
    assert SECRET not in repr(options)
    assert SECRET not in "".join(options.notices)


@pytest.mark.parametrize(
    "argv",
    [
        [f"-etcd-password={SECRET}"],
        [f"---etcd-password={SECRET}"],
        [f"-etcd-pasword={SECRET}"],
        [f"-etcd-endpoints=http://root:{SECRET}@a:2379"],
        ["leases", "-etcd-password", SECRET, SECRET],
    ],
)
def test_the_password_is_in_no_error(argv: list[str]) -> None:
    with pytest.raises((UsageError, Fatal)) as caught:
        parse(argv, {})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "argv",
    [
        ["-etcd-prefix=/x", "leases", "--json"],
        ["leases", "--json", "-etcd-prefix", "/x"],
        ["leases", "-json=true", "--etcd-prefix=/x"],
        ["-etcd-prefix=/x", "--", "leases"],
    ],
)
def test_flags_stand_before_or_behind_a_command(argv: list[str]) -> None:
    options = parse(argv, {})
    assert (options.command, options.etcd_prefix, options.arguments) == ("leases", "/x", ())
    assert options.json is ("--" not in argv)


def test_a_command_has_its_arguments() -> None:
    assert parse(["check-config", "-"], {}).arguments == ("-",)
    assert parse(["check-config", "-v=1", "config.json"], {}).arguments == ("config.json",)
    assert parse(["check-config", "--", "-config.json"], {}).arguments == ("-config.json",)
    assert parse(["cleanup"], {}).command == "cleanup"


@pytest.mark.parametrize(
    "argv", [["check-config"], ["check-config", "a", "b"], ["leases", "10.2.0.0"], ["cleanup", "all"]]
)
def test_a_command_with_the_wrong_arguments_is_told_in_one_line(argv: list[str]) -> None:
    with pytest.raises(UsageError, match=rf"^{argv[0]} takes ") as caught:
        parse(argv, {})
    assert not caught.value.show_usage


def test_json_is_a_flag_of_one_command_alone() -> None:
    for argv in (["--json", "leases"], ["cleanup", "--json"]):
        with pytest.raises(UsageError, match="not defined: -json"):
            parse(argv, {})


@pytest.mark.parametrize("argv", [["leases", "-help"], ["Leases"], ["x", "leases"], ["cleanup", "-h"]])
def test_a_command_does_nothing_where_the_usage_is_asked_for(argv: list[str]) -> None:
    assert parse(argv, {}) == Options(help=True)


@given(st.lists(st.text(max_size=20) | st.sampled_from([f"-{name}" for name in FLAGS_0_28_9]), max_size=6))
def test_any_command_line_is_understood_or_refused(argv: list[str]) -> None:
    try:
        parse(argv, {})
    except (UsageError, Fatal) as error:
        message = str(error)
    else:
        message = "fine"
    assert message


def test_the_usage_lists_every_flag_with_its_default() -> None:
    text = usage("flanneld")
    assert text.startswith("Usage: flanneld [OPTION]...\n")
    for entry in (
        "  -etcd-endpoints string\n",
        '(default "http://127.0.0.1:4001,http://127.0.0.1:2379") [FLANNELD_ETCD_ENDPOINTS]\n',
        "  -etcd-prefix string\n",
        '(default "/coreos.com/network") [FLANNELD_ETCD_PREFIX]\n',
        "  -help\n",
        "  -version\n",
        "(default 60) [FLANNELD_SUBNET_LEASE_RENEW_MARGIN]\n",
        "(default false) [FLANNELD_IP_MASQ]\n",
        "  -iface value\n",
        "(default true) [FLANNELD_IPTABLES_FORWARD_RULES]\n",
        '(v3, v2) (default "v3") [FLANNELD_ETCD_API]\n',
        "  check-config FILE|-\n",
        "  leases [--json]\n",
        "  cleanup\n",
    ):
        assert entry in text
