"""YAML as its authors read it: what version 1.1 would make of it, sizes, aliases."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lab import yamltext
from lab.errors import Unfit


def wrong(text: str) -> list[str]:
    try:
        return yamltext.load(text, "f").problems
    except Unfit as error:
        return error.message.splitlines()


# What YAML 1.1 makes of them: its types int, float and bool at yaml.org/type.
@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("052", "42"),
        ("0x1F", "31"),
        ("0b11", "3"),
        ("1_000", "1000"),
        ("1:30", "90"),
        ("22:22", "1342"),
        ("1:30.5", "90.5"),
        ("1_0.5", "10.5"),
        ("+5", "5"),
        ("on", "true"),
        ("No", "false"),
        ("yes", "true"),
        ("OFF", "false"),
    ],
)
def test_what_yaml_would_make_something_else_of_is_refused_as_it_is_written(written: str, read: str) -> None:
    assert wrong(f"host: {written}") == [
        f"f: line 1, column 7: YAML reads {written} as {read}: write {read}, or '{written}' in quotes"
    ]
    assert wrong(f"host: '{written}'") == []


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("0", 0),
        ("-7", -7),
        ("1.5", 1.5),
        ("true", True),
        ("False", False),
        ("~", None),
        ("2016-03-13", "2016-03-13"),
        ("2016-03-13T11:24:58Z", "2016-03-13T11:24:58Z"),
        ("2016-99-99", "2016-99-99"),
        ("=", "="),
        ("1.2.3", "1.2.3"),
        ("10.2.0.0/16", "10.2.0.0/16"),
        ('"\\ud83d\\ude00"', "\U0001f600"),  # JSON, and so YAML 1.2, writes it as two escapes
    ],
)
def test_what_a_reader_reads_alike_is_read(written: str, read: object) -> None:
    document = yamltext.load(f"key: {written}", "f")
    assert (document.items, document.problems) == (({"key": read},), [])


def test_half_a_character_is_no_text() -> None:
    assert wrong('key: "\\ud800"') == [
        "f: line 1, column 6: '\\ud800' is no text: it has half a character (a lone surrogate)"
    ]


def test_a_document_that_cannot_be_read_hides_nothing_that_is_wrong_before_it() -> None:
    assert wrong("a: 052\na: on\n---\nb: [") == [
        "f: line 1, column 4: YAML reads 052 as 42: write 42, or '052' in quotes",
        "f: line 2, column 1: the key a is there twice",
        "f: line 2, column 4: YAML reads on as true: write true, or 'on' in quotes",
        "f: line 4, column 5: expected the node content, but found '<stream end>'",
    ]


def test_ten_lines_that_make_a_billion_values_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]" for n in range(8)]
    assert wrong("\n".join(lines)) == [
        "f: line 1, column 1: more than 100,000 values, with those that aliases repeat"
    ]


@pytest.mark.parametrize("text", ["a: &a [*a]", "&a {b: *a}", "- &a {b: [*a]}"])
def test_an_alias_of_what_it_stands_in_is_refused(text: str) -> None:
    (line,) = wrong(text)
    assert line.endswith("an alias repeats what it stands in")


def test_anchors_aliases_and_merges_are_read() -> None:
    text = "base: &base {a: 1}\none: *base\ntwo: {<<: *base, b: 2}"
    assert yamltext.load(text, "f").items[0]["two"] == {"a": 1, "b": 2}


def test_what_is_nested_too_deeply_is_refused() -> None:
    assert wrong("[" * 1000) == ["f: its values are nested too deeply"]


def test_no_more_of_a_file_is_read_than_a_person_would_write(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_bytes(b"#" * (yamltext.LIMIT + 1))
    for path in (tmp_path / "large.yaml", Path("/dev/zero")):
        with pytest.raises(Unfit, match=f"{path}: more than 1 MB"):
            yamltext.read(path)
    (tmp_path / "windows.yaml").write_bytes(b"\xef\xbb\xbfname: demo\r\n")
    assert yamltext.load(yamltext.read(tmp_path / "windows.yaml"), "f").items == ({"name": "demo"},)


plain = st.none() | st.booleans() | st.integers() | st.text(max_size=8)


@given(st.dictionaries(st.text(max_size=4), plain | st.lists(plain, max_size=3), max_size=4))
def test_what_pyyaml_writes_is_read_back_the_same(value: dict[str, object]) -> None:
    document = yamltext.load(yaml.safe_dump(value), "f")
    assert (document.items, document.problems) == ((value,), [])
