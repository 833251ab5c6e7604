"""What `lab doctor` says of neighbours and FDB entries: the diagnoses that stand on the checks of vxlan."""

import pytest

from lab.checks.finding import Finding, Kind, Subject
from lab.checks.values import Items
from lab.doctor.case import Case
from tests.lab.doctor_cases import LOOKS, ONE, case, found

PEER = "10.2.52.0 02:42:0a:02:34:00"


def failing(check: str, expected: tuple[str, ...], seen: tuple[str, ...]) -> Case:
    subject = Subject.node(ONE, "flannel.1")
    finding = Finding(check, check, Kind.FAIL, subject, Items(expected), Items(seen))
    return Case(case().seen, LOOKS, (finding,))


@pytest.mark.parametrize(
    ("check", "identifier", "words"),
    [
        ("overlay.neighbours", "route.neighbours", "it lacks neighbours on flannel.1"),
        ("overlay.fdb", "route.fdb", "it lacks FDB entries on flannel.1"),
    ],
)
def test_what_leads_to_a_peer_and_is_missing_is_named(check: str, identifier: str, words: str) -> None:
    one = found(failing(check, (PEER,), ()))[identifier]
    assert (one.what, one.evidence) == (words, (f"missing: {PEER}",))
    assert one.fix == (f"lab exec {ONE} -- systemctl restart flanneld",)


def test_what_is_left_of_a_peer_that_is_gone_is_named() -> None:
    one = found(failing("overlay.fdb", (), (PEER,)))["route.fdb"]
    assert one.evidence == (f"not expected: {PEER}",)
