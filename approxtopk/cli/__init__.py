"""The command line, ``approxtopk``; needs the extra ``cli``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, or say what to install for it."""
    try:
        import rich  # noqa: F401
        import typer  # noqa: F401
    except ImportError as error:
        print(
            f"approxtopk: the command line needs {error.name}: pip install 'approxtopk[cli]'",
            file=sys.stderr,
        )
        sys.exit(2)
    from .app import run

    sys.exit(run(sys.argv[1:]))
