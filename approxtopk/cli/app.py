"""The commands, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import __version__
from .bench import bench
from .console import report
from .demo import demo
from .info import info
from .plan import plan
from .select import select

app = typer.Typer(
    help="Approximate top-k for arrays on CPUs and GPUs, with the recall known beforehand.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (info, plan, select, bench, demo):
    app.command()(command)

#: The base of everything that is wrong with arguments; typer exports only the class below it.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]


def run(arguments: list[str]) -> int:
    """Run a command; the exit code. What is wrong with the arguments is said in one line."""
    try:
        return app(arguments or ["--help"], standalone_mode=False) or 0
    except _UsageError as error:
        report(error.format_message())  # type: ignore[attr-defined]
        return 2
    except (typer.Abort, KeyboardInterrupt):
        report("interrupted")
        return 130


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"approxtopk {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass
