"""Compare two commits: ratios, and exit code 1 where the second is slower past a factor.

    python asv_bench/compare.py A B [--factor F] [--bench REGEX] [--quick]

Rounds of the two alternate, so that whatever else the machine does meets both, and a difference
within their spread is none. Nothing is added to asv_bench/results.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from asv.commands.continuous import Continuous
from asv.config import Config
from asv.plugin_manager import plugin_manager
from asv.util import UserError
from machine import describe

HERE = Path(__file__).parent
OUT = HERE.parent / ".asv" / "compare"


def compare(first: str, second: str, factor: float, bench: list[str] | None, quick: bool) -> bool:
    """Measure both and print what changed; whether anything got slower."""
    os.chdir(HERE)  # the configuration's paths are relative to it
    config = Config.load("asv.conf.json")
    config.results_dir, config.env_dir = str(OUT / "results"), str(OUT / "env")
    for plugin in config.plugins:
        plugin_manager.import_plugin(plugin)
    OUT.mkdir(parents=True, exist_ok=True)
    machines = str(OUT / "machines.json")
    describe("here", machines)
    slower = Continuous.run(
        config,
        base=first,
        branch=second,
        factor=factor,
        bench=bench,
        quick=quick,
        split=True,
        interleave_rounds=not quick,
        machine="here",
        _machine_file=machines,
    )
    return bool(slower)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("first", metavar="A", help="the commit to compare with")
    add("second", metavar="B", help="the commit that must not be slower")
    add("--factor", type=float, default=1.1, help="how many times as long is too long")
    add("--bench", action="append", help="benchmarks whose name matches; repeatable")
    add("--quick", action="store_true", help="each benchmark once: to find mistakes")
    try:
        sys.exit(compare(**vars(parser.parse_args())))
    except UserError as error:
        sys.exit(f"compare: {error}")


if __name__ == "__main__":
    main()
