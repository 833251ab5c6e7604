"""What `lab up` says besides its error, once it has failed: what the doctor finds.

The doctor is loaded only then: whoever succeeds does without.
"""

import click

from lab.cluster import Lab
from lab.cluster.lifecycle import Witness
from lab.engine import Engine, EngineUnavailable
from lab.errors import LabError
from lab.events import Reporter
from lab.spec import LabSpec
from lab.streams import width

__all__ = ["tell_why", "tell_why_checks_fail", "telling_why"]


def telling_why(engine: Engine, spec: LabSpec, then: Witness | None) -> Witness:
    """Who looks for why a step of `lab up` has failed, tells it with the error, and lets another look."""

    def witness(error: Exception, progress: Reporter) -> None:
        with progress.step("look for what explains it"):
            tell_why(error, engine, spec)
        if then is not None:
            then(error, progress)

    return witness


def tell_why(error: Exception, engine: Engine | EngineUnavailable, spec: LabSpec) -> None:
    """Tell with an error what must be mended before another try, if anything is seen."""
    from lab.doctor.start import why_it_failed
    from lab.render import doctor as rendered

    try:
        found = why_it_failed(engine, spec)
    except LabError as failed:
        error.add_note(f"Nobody knows whether this host or its machines explain it: {failed.message}")
    else:
        if found:
            error.add_note(f"\nlab doctor says:\n\n{rendered.text(found, width=width())}")


def tell_why_checks_fail(lab: Lab) -> None:
    """Say what must be mended where not every check holds, if anything is seen."""
    from lab.doctor.start import why_checks_fail
    from lab.render import doctor as rendered

    found = why_checks_fail(lab)
    if found:
        click.echo(f"\nlab doctor says:\n\n{rendered.text(found, width=width())}", err=True)
