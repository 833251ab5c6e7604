"""The verb that says what is wrong, why, and what mends it: doctor."""

from collections.abc import Sequence

import click

from lab import threads
from lab.cli.common import as_json, echo, lab_name, print_json
from lab.cluster import Lab
from lab.doctor.gather import gather
from lab.doctor.host import look_at_hosts
from lab.doctor.model import Diagnosis
from lab.doctor.registry import diagnose, diagnose_hosts, in_order
from lab.engine import Engine, EngineUnavailable
from lab.naming import name_option
from lab.render import doctor as rendered
from lab.streams import width

__all__ = ["COMMANDS"]


@click.command()
@lab_name
@as_json
def doctor(name: str, json_: bool) -> int:
    """Say what is wrong with the host and a lab, how that shows, and which command mends it.

    The lab need not be up: then it is the host alone.
    """
    found, lab = _found(name)
    if json_:
        print_json(rendered.document(found, lab))
    else:
        if lab is None:
            click.echo(f"There is no lab {name}: this is about the host alone.", err=True)
        echo(rendered.text(found, width=width()))
    return 1 if rendered.to_mend(found) else 0


def _found(name: str) -> tuple[Sequence[Diagnosis], str | None]:
    """What there is to say, and the lab that was looked at, if there is one."""
    try:
        engine = Engine.connect()
    except EngineUnavailable as error:
        return diagnose_hosts(look_at_hosts(error, name, None, None)), None
    lab = Lab.find(engine, name)
    hosts = threads.start(lambda: look_at_hosts(engine, name, lab.spec if lab is not None else None, lab))
    if lab is None or not lab.has_its_networks:
        return diagnose_hosts(hosts.result()), None
    cluster = diagnose(gather(lab, name_option(name)))
    return in_order([*diagnose_hosts(hosts.result()), *cluster]), lab.name


COMMANDS = (doctor,)
