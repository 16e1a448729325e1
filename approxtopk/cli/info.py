"""``approxtopk info``: what is installed, what it can use here, and why not."""

from __future__ import annotations

import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version

from .. import BackendStatus, __version__, backends
from .console import console, one_line_errors, table


def info() -> None:
    """List backends, devices and versions, and why a backend can't be used."""
    with one_line_errors():
        statuses = backends()
        out = console()
        core = ", ".join(f"{name} {_version(name)}" for name in ("numpy", "pluggy"))
        out.print(f"approxtopk {__version__}, Python {platform.python_version()}, {core}")
        out.print(f"{platform.system()} {platform.machine()}\n")
        rows = table("backend", "usable", "devices", "arrays", "versions", "from", left=6)
        for status in statuses:
            rows.add_row(
                status.name,
                "[green]yes[/]" if status.usable else "[red]no[/]",
                ", ".join(status.devices or status.device_kinds).replace("*", "any"),
                ", ".join(status.array_types),
                _frameworks(status),
                status.origin,
            )
        out.print(rows)
        unusable = [status for status in statuses if not status.usable]
        for status in unusable:
            out.print(f"\n{status.name}: {status.reason}", markup=False)


def _frameworks(status: BackendStatus) -> str:
    """Versions of what the backend's extra asks for, read from this package's own metadata."""
    try:
        wanted = requires("approxtopk") or []
    except PackageNotFoundError:  # runs from a checkout
        wanted = []
    marker = re.compile(rf"""^([\w.-]+).*;.*\bextra\s*==\s*['"]{re.escape(status.extra)}['"]""")
    found = (marker.match(requirement) for requirement in wanted if status.extra)
    return ", ".join(f"{match[1]} {_version(match[1])}" for match in found if match)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"
