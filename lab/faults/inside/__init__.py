"""The program that makes, shows and ends faults on a machine of the lab: all modules here.

And a machine's services take variables from files that a fault may write (`clocks`).
"""

from importlib.resources import files

from lab.inside import Installed

__all__ = ["PROGRAM", "SERVICES"]

OURS = sorted(name[:-3] for each in files(__name__).iterdir() if (name := each.name).endswith(".py"))

PROGRAM = Installed(
    "faults",
    "lab.faults.inside.main",
    {"lab": ("suggest",), "lab.faults.inside": [name for name in OURS if name != "__init__"]},
)

# Of every service (systemd.unit(5)). So systemd need not read all units again when a fault begins or ends,
# which takes long, and would have it heed whatever else has changed on disk.
SERVICES = {
    "/etc/systemd/system/service.d/lab-fault.conf": "[Service]\nEnvironmentFile=-/run/lab-fault/%n.env\n"
}
"""What a machine has for them, by path."""
