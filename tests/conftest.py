"""Where the distribution isn't installed, run what is checked out, every plug-in of it."""

from __future__ import annotations

import os
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent


def use_checkout() -> None:
    """Do what an installation does: for this process and for those that tests start."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    paths = [str(CHECKOUT), str(CHECKOUT / "backends")]
    sys.path[:0] = paths
    os.environ["PYTHONPATH"] = os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")])
    os.environ["APPROXTOPK_PLUGINS"] = ",".join(project["entry-points"]["approxtopk"].values())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what must be asked for by name, and start with what takes longest.

    So no worker is left alone with it at the end.
    """
    if "exhaustive" not in config.option.markexpr:
        items[:] = [item for item in items if item.get_closest_marker("exhaustive") is None]
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


try:
    distribution("approxtopk")
except PackageNotFoundError:
    use_checkout()
