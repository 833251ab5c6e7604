"""Go's regular expressions; what matches was read off a program with Go's own package regexp."""

import re

import pytest

from flanneld_py.options import re2


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        (r"^eth[[:digit:]]$", "eth0", "ethx"),
        (r"^[[:alpha:]_]+$", "en_p", "en1"),
        (r"^[[:^digit:]]+$", "eth", "eth0"),
        (r"^[^[:alpha:]]+$", "10.", "a1"),
        (r"^[]x]$", "]", "["),
        (r"^[^]x]$", "a", "]"),
        (r"^[[x]$", "[", "y"),
        (r"^[\]x]$", "]", "["),
        (r"^[[:word:].-]+$", "br-1.2_x", "a b"),
        (r"^[[:punct:]]$", "`", "a"),
        (r"^192\.168\.[[:digit:]]{1,3}\.", "192.168.50.1", "192x168.1.1"),
        (r"eth0\z", "eth0", "eth01"),
        (r"^\d$", "1", "\u0661"),
        (r"^[:alpha:]$", "a", "b"),
    ],
)
def test_it_matches_what_go_matches(pattern: str, matching: str, other: str) -> None:
    compiled = re2.compiled(pattern)
    assert compiled.search(matching)
    assert not compiled.search(other)


@pytest.mark.parametrize(
    "name", ["digit", "alpha", "alnum", "space", "upper", "lower", "xdigit", "word", "blank"]
)
def test_a_class_has_no_character_in_common_with_its_opposite(name: str) -> None:
    one, opposite = re2.compiled(f"[[:{name}:]]"), re2.compiled(f"[[:^{name}:]]")
    for code in [*range(0x180), 0x10FFFF]:
        assert bool(one.search(chr(code))) != bool(opposite.search(chr(code)))


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"[[:numeric:]]", "there is no class [:numeric:]: there are [:alnum:]"),
        (r"\pL+", "write [a-z]"),
        (r"[\p{Greek}]", "write [a-z]"),
        (r"(", "not a regular expression: missing )"),
    ],
)
def test_what_it_does_not_know_is_told_with_what_to_write(pattern: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        re2.compiled(pattern)


def test_a_backslash_before_p_that_is_itself_escaped_is_none() -> None:
    assert re2.compiled(r"a\\p").search(r"a\p")
