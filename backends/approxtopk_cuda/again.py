"""What certificate and repair are expected to read again, by their launch: pure arithmetic.

On randomly ordered distinct values: ties take more. Where the best that each group of buckets lost
is known, a certificate reads nothing, and a repair the groups that hide something, see
``kernels/losses.cuh``. A row in registers or in shared memory is not read again from elsewhere; and
of some rows the best lines are, whatever is asked.
"""

from __future__ import annotations

import math

from approxtopk.exactness import (
    any_of,
    flagged_if_missed,
    flagged_in_groups,
    hides_more,
    place_of_worst,
    read_again,
    read_in_groups,
    tail,
)
from approxtopk.hypergeometric import bucket_misses

from . import reread
from .problem import Launch, Problem, Schedule

__all__ = ["elements_read_again"]

#: Hidden elements that can take the places of the worst results, if these are best first; how many
#: are where results are in no order. More have to be gathered. See ``hidden.cuh``, ``select.cuh``.
_FEW, _RANKED = 32, 24


def elements_read_again(p: Problem, schedule: Schedule) -> float:
    """Elements of a row of a problem, as it is settled, and its schedule."""
    if not (p.certificate or p.repair):
        return 0.0
    launch = schedule.launches[-1]
    if launch.kernel.source == "certify":
        return _apart(p, schedule.launches[0].lost_group)
    macros = dict(launch.kernel.defines)
    if macros["REREAD"] != "0":
        return reread.read_again(p)
    if launch.kernel.source == "short" or macros["RESIDENT"] != "0" or macros["LOADED"] != "0":
        return 0.0
    whole = macros["INTERLEAVED"] == "1" and macros["MERGE"] == "0"
    group = int(macros["V"]) if whole else 1
    return _for_repair(p, launch, group) if p.repair else _late(p, launch, group)


def _apart(p: Problem, group: int) -> float:
    """By a launch of its own, after one that tells what each `group` of buckets lost.

    Or, where that is 0, tells nothing: then flagged buckets are read, and again for a repair.
    """
    plan = p.n, p.k, p.b, p.kb
    if group:
        return flagged_in_groups(*plan, group) if p.repair else 0.0
    return read_again(*plan) + (flagged_if_missed(*plan) if p.repair else 0.0)


def _for_repair(p: Problem, launch: Launch, group: int) -> float:
    """At the end of a fused kernel: to find what is hidden, and to gather it where it is much."""
    plan, macros = (p.n, p.k, p.b, p.kb), dict(launch.kernel.defines)
    again = read_in_groups(*plan, group)
    if launch.kernel.source == "extract":  # which puts what it finds where it belongs at once
        return again
    ordered = p.sorted or macros["QUICK"] != "0"
    return again * (1.0 + hides_more(*plan, min(p.k, _FEW if ordered else _RANKED)))


def _late(p: Problem, launch: Launch, group: int) -> float:
    """For a certificate, where of a walk the last steps alone are watched, and lose nothing.

    Then the others are read, of groups with a bucket that is flagged by these.
    """
    watched = dict(launch.fields).get("watched", 0)
    if not watched:
        return 0.0
    better = place_of_worst(p.n, p.k, p.b, p.kb) - 1
    run, longer = divmod(p.n, p.b)
    late = again = 0.0
    for length, buckets in ((run, p.b - longer), (run + 1, longer)):
        early = length - watched
        late += buckets * bucket_misses(p.n, p.k, length, p.kb)
        late -= buckets * bucket_misses(p.n, p.k, early, p.kb)
        again += buckets * early * any_of(group, tail(p.kb, p.n, better, early))
    return math.exp(-late) * again
