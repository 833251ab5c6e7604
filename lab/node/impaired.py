"""Standing impairments of segments: what is done to all that a machine sends there, from its boot on."""

import json
from collections.abc import Mapping

from lab.engine import FileContent
from lab.faults.impairment.inside import PROGRAM
from lab.faults.impairment.model import Direction, Rule, parse_impairment, parse_match
from lab.node.services import IMPAIRED_UNIT, UNIT_FOLDER
from lab.spec import LabSpec, NodeSpec

__all__ = ["impaired_files"]

EVERYTHING = parse_match([], "", "", Direction.OUT)
FOLDER = "/etc/overlay-lab/impaired"

START = f"""\
[Unit]
Description=Impair the machine's networks as the lab file says
Before=etcd.service flanneld.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -ec 'for rule in {FOLDER}/*.json; do {" ".join(PROGRAM.command("start"))} < "$rule"; done'
"""


def impaired_files(spec: LabSpec, node: NodeSpec) -> Mapping[str, FileContent]:
    """What a machine has because of them, by path."""
    files = {}
    for device, words in spec.impairments(node).items():
        rule = Rule(f"lab-{device}", parse_impairment(words), EVERYTHING, device)
        files[f"{FOLDER}/{device}.json"] = json.dumps(rule.as_document())
        files[f"{UNIT_FOLDER}/{IMPAIRED_UNIT}"] = START
    return {path: FileContent(text.encode()) for path, text in files.items()}
