"""Where the commands write, and how they fail: with one line on stderr and exit code 2."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.table import Table


def console() -> Console:
    """Standard output as it is now: a test or a pipe may have put another in its place."""
    return Console(highlight=False)


def table(*columns: str, left: int = 1) -> Table:
    """A plain table; the first `left` columns are text, the others numbers."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for i, column in enumerate(columns):
        made.add_column(column, justify="left" if i < left else "right")
    return made


def report(message: str) -> None:
    """Write one line to stderr."""
    print("approxtopk:", " ".join(message.split()), file=sys.stderr)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn errors that a user can cause into one line and exit code 2; others are bugs."""
    try:
        yield
    except MemoryError as error:
        report(f"not enough memory: {error}" if str(error) else "not enough memory")
    except OSError as error:
        what = f"{error.filename}: " if error.filename else ""
        report(f"{what}{error.strerror or error}")
    except (ValueError, TypeError, ImportError, RuntimeError) as error:
        report(str(error))
    else:
        return
    raise typer.Exit(2)
