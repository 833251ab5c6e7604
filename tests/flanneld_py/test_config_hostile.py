"""Whatever is in etcd: a configuration, or problems; never a crash, and no unbounded work or text."""

import json
from bisect import bisect_left

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flanneld_py.backend.catalog import parse_config
from flanneld_py.config import ConfigError, Problem


def json_values() -> st.SearchStrategy[object]:
    return st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    )


KEYS = st.sampled_from(
    [
        "Network", "SubnetLen", "SubnetMin", "SubnetMax", "IPv6Network", "IPv6SubnetLen", "IPv6SubnetMin",
        "IPv6SubnetMax", "EnableIPv4", "EnableIPv6", "EnableNFTables", "Backend", "backend", "NETWORK",
    ]
)  # fmt: skip
BACKENDS = st.dictionaries(
    st.sampled_from(["Type", "VNI", "Port", "MTU", "PSK", "Mode", "GBP", "ListenPort", "SubnetAddCommand"]),
    json_values() | st.sampled_from(["udp", "vxlan", "wireguard", "extension", "ipip"]),
)
LIKELY = st.sampled_from(["10.1.0.0/16", "fd00::/48", "10.1.1.0", "fd00:0:0:1::", True, 24, 64])


@given(st.binary() | st.text() | st.dictionaries(KEYS, json_values() | LIKELY | BACKENDS).map(json.dumps))
@example(b"[" * 100_000)
@example('{"Network": ' + "9" * 5000 + "}")
@example('{"SubnetLen": ' + "9" * 4000 + ', "Network": "10.1.0.0/16"}')
@example('{"Network": "' + "1" * 1_000_000 + '"}')
@example('{"Network": "10.1.0.0/16", "Backend": {"Type": "\\ud800"}}')
def test_any_text_is_a_configuration_or_problems_with_keys_and_remedies(text: str | bytes) -> None:
    problems: tuple[Problem, ...] = ()
    try:
        parse_config(text)
    except ConfigError as error:
        problems = error.problems or (Problem("", "", ""),)
    assert all(problem.message and problem.fix for problem in problems)
    assert sum(len(str(problem)) for problem in problems) < 5000


GOOD = json.dumps(
    {
        "Network": "10.2.0.0/16", "SubnetLen": 24, "SubnetMin": "10.2.1.0", "SubnetMax": "10.2.99.0",
        "EnableIPv6": True, "IPv6Network": "2001:cafe:42::/48", "IPv6SubnetLen": 64,
        "Backend": {"Type": "vxlan", "VNI": 1, "Port": 8472, "DirectRouting": True},
    }
).encode()  # fmt: skip


def problems_of(text: str | bytes) -> tuple[Problem, ...]:
    try:
        parse_config(text)
    except ConfigError as error:
        problems, told = error.problems, str(error)
    else:
        return ()
    assert problems
    assert told == "; ".join(map(str, problems))
    return problems


@given(st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 3), st.binary(max_size=3)), max_size=4))
def test_a_configuration_that_is_damaged_is_one_or_none(
    damages: list[tuple[int, int, bytes]],
) -> None:
    text = GOOD
    for place, cut, more in damages:
        text = text[:place] + more + text[place + cut :]
    told = " ".join(map(str, problems_of(text)))
    assert "\n" not in told
    assert told.isprintable()


@pytest.mark.parametrize(
    ("around", "opening", "closing"),
    [
        ("%s", "[", "]"),
        ('{"Network": %s}', "[", "]"),
        ('{"Network": %s}', '{"a":', "}"),
        ('{"Backend": %s}', "[", "]"),
        ('{"Backend": {"Type": %s}}', '{"a":', "}"),
        ('{"SubnetMin": %s}', "[", "]"),
    ],
)
def test_nesting_of_any_depth_is_a_problem(around: str, opening: str, closing: str) -> None:
    def told(depth: int) -> str:
        return str(problems_of(around % (opening * depth + "1" + closing * depth))[0])

    # Also just where the reader still follows and what shows the value does not any more.
    edge = bisect_left(range(100_000), True, lo=1, key=lambda depth: "nested too deeply" in told(depth))
    for depth in (1, 100, *range(edge - 20, edge + 30), 3000, 100_000):
        assert len(told(depth)) < 300
    assert "nested too deeply" in told(100_000)


@pytest.mark.parametrize("digits", [20, 100, 1000, 1001, 4300, 4301, 1_000_000])
@pytest.mark.parametrize("key", ["SubnetLen", "IPv6SubnetLen", "Network", "EnableIPv6", "Unknown"])
def test_a_huge_number_is_a_problem_in_our_words(digits: int, key: str) -> None:
    told = problems_of('{"Network": "10.1.0.0/16", "%s": %s}' % (key, "9" * digits))  # noqa: UP031
    assert bool(told) == (key != "Unknown" or digits > 1000)
    assert all("sys." not in str(problem) and len(str(problem)) < 200 for problem in told)


@pytest.mark.parametrize(
    "text",
    [
        GOOD.decode().encode("utf-16"),
        GOOD.decode().encode("utf-32"),
        GOOD.decode().encode("utf-8-sig"),
        GOOD.decode().encode("utf-8-sig").decode(),
        b"\xff",
    ],
    ids=["UTF-16", "UTF-32", "mark", "mark as text", "no UTF-8"],
)
def test_only_utf_8_is_read_as_by_flannel(text: str | bytes) -> None:
    (told,) = problems_of(text)
    assert told.message.startswith("the configuration is not JSON (")
    assert "-sig" not in told.message
