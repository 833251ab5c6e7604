"""Why `lab up` may have failed: looked for while what was made is still there."""

from collections.abc import Sequence

from lab.cluster import Lab
from lab.doctor.gather import gather
from lab.doctor.host import look_at_hosts
from lab.doctor.model import Diagnosis, Severity
from lab.doctor.registry import diagnose, diagnose_hosts, in_order
from lab.engine import Engine, EngineUnavailable
from lab.errors import LabError
from lab.naming import name_option
from lab.spec import LabSpec

__all__ = ["why_checks_fail", "why_it_failed"]


def why_it_failed(engine: Engine | EngineUnavailable, spec: LabSpec) -> Sequence[Diagnosis]:
    """What must be mended of the host, and of the machines that are there, before another try.

    Of machines that have just begun, only what is wrong at any time: what is not there yet is no harm.
    """
    lab = None if isinstance(engine, EngineUnavailable) else _found(engine, spec.name)
    hosts = diagnose_hosts(look_at_hosts(engine, spec.name, spec, lab), start=True)
    if isinstance(engine, EngineUnavailable):
        return _to_mend([item for item in hosts if item.id != "host.engine"])  # that is the error itself
    return _to_mend([*hosts, *_machines(lab)])


def _found(engine: Engine, name: str) -> Lab | None:
    try:
        return Lab.find(engine, name)
    except LabError:
        return None


def _machines(lab: Lab | None) -> Sequence[Diagnosis]:
    if lab is None or not lab.has_its_networks:
        return ()
    return diagnose(gather(lab, name_option(lab.name)), start=True)


def why_checks_fail(lab: Lab) -> Sequence[Diagnosis]:
    """What must be mended where everything was started, and not every check holds."""
    hosts = diagnose_hosts(look_at_hosts(lab.engine, lab.name, lab.spec, lab))
    return _to_mend([*hosts, *diagnose(gather(lab, name_option(lab.name)))])


def _to_mend(found: Sequence[Diagnosis]) -> Sequence[Diagnosis]:
    return in_order(item for item in found if item.severity is Severity.MEND)
