"""The verb that says what is wrong, why, and what mends it: doctor."""

import click

from lab.cli.common import as_json, echo, lab_name, print_json
from lab.cluster import Lab
from lab.doctor.gather import gather
from lab.doctor.registry import diagnose
from lab.engine import Engine
from lab.naming import name_option
from lab.render import doctor as rendered
from lab.streams import width

__all__ = ["COMMANDS"]


@click.command()
@lab_name
@as_json
def doctor(name: str, json_: bool) -> int:
    """Say what is wrong with this host and a lab, by what it is seen, and which command mends it."""
    lab = Lab.get(Engine.connect(), name)
    found = diagnose(gather(lab, name_option(name)))
    if json_:
        print_json(rendered.document(found, lab.name))
    else:
        echo(rendered.text(found, width=width()))
    return 1 if rendered.to_mend(found) else 0


COMMANDS = (doctor,)
