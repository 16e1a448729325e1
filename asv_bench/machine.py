"""Describe this machine to asv under a name, unless it knows that name already.

    python asv_bench/machine.py NAME

The name is what results are filed under and what the dashboard shows, so it says what the machine
is, such as ``2-core-x86_64-cpu``. Where it has results it is described as it was for them, lest
the dashboard take it for another machine; else what asv finds out is taken.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from asv.machine import Machine, MachineCollection
from asv.util import UserError

RESULTS = Path(__file__).parent / "results"


def describe(name: str, path: str | None = None) -> None:
    """Add the description to asv's list of machines, which is the user's own by default."""
    try:
        MachineCollection.load(name, _path=path)
    except UserError:
        known = RESULTS / name / "machine.json"
        about = json.loads(known.read_text()) if known.exists() else Machine.get_defaults()
        about.pop("version", None)
        MachineCollection.save(name, about | {"machine": name}, _path=path)


if __name__ == "__main__":
    describe(*sys.argv[1:])
