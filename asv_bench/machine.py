"""Describe this machine to asv under a name, unless it knows that name already.

    python asv_bench/machine.py NAME

What asv finds out by itself is taken: system, processor, cores and memory. The name is what
results are filed under and what the dashboard shows, so it says what the machine is, such as
``2-core-x86_64-cpu``.
"""

from __future__ import annotations

import sys

from asv.machine import Machine, MachineCollection
from asv.util import UserError


def describe(name: str, path: str | None = None) -> None:
    """Add the description to asv's list of machines, which is the user's own by default."""
    try:
        MachineCollection.load(name, _path=path)
    except UserError:
        MachineCollection.save(name, Machine.get_defaults() | {"machine": name}, _path=path)


if __name__ == "__main__":
    describe(*sys.argv[1:])
