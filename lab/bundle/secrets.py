"""What is to be replaced in a page about a lab that is up, which has less in it than a bundle."""

from collections.abc import Iterator, Sequence
from contextlib import suppress

from lab.bundle.redact import Redaction, redaction_of
from lab.errors import LabError
from lab.node.etcd import CLIENT
from lab.node.files import SPEC_FILE, spec_keeper
from lab.pods import PodSpec
from lab.protocols import LabAccess
from lab.spec import LabSpec

__all__ = ["secrets_of"]


def secrets_of(lab: LabAccess) -> Redaction:
    """The values of the pods' variables, those of pods that came later too, and etcd's passwords.

    A machine that does not tell them does not tell what they stand in either.
    """
    return redaction_of(lab.spec, _pods(lab), _credentials(lab))


def _pods(lab: LabAccess) -> Iterator[PodSpec]:
    yield from lab.spec.pods
    for text in _read(lab, [spec_keeper(lab.spec)], SPEC_FILE):
        with suppress(LabError):  # another version's: then the pods themselves have the values
            yield from LabSpec.from_json(text).pods
    with suppress(LabError):
        for pod in lab.pods():
            yield pod.spec


def _credentials(lab: LabAccess) -> Iterator[str]:
    if lab.spec.etcd.auth:
        nodes = [*lab.spec.running("etcd"), *lab.spec.running("flanneld")]
        yield from _read(lab, [node.name for node in nodes], CLIENT)


def _read(lab: LabAccess, nodes: Sequence[str], path: str) -> Iterator[str]:
    for name in dict.fromkeys(nodes):
        with suppress(LabError):
            result = lab.node(name).run(["cat", path], check=False)
            if result.exit_code == 0:
                yield result.output
