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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with what takes longest, so that no worker is left alone with it at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


try:
    distribution("approxtopk")
except PackageNotFoundError:
    use_checkout()
