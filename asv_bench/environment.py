"""An asv environment that builds nothing: the Python that runs asv, with a commit on its path.

The library is Python and kernel sources, so a commit's files are all that there is to install. Both
commits of a comparison then meet the very same frameworks, whether these came from PyPI or with the
machine, and ten commits are measured in the time that one environment takes to be made.
"""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path
from typing import Any

from asv.environment import Environment
from asv.util import check_output


class Checkout(Environment):
    """Run benchmarks against a commit as it is checked out."""

    tool_name = "checkout"

    def __init__(self, conf: Any, python: str, requirements: Any, variables: Any) -> None:
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        self._python, self._requirements = python, requirements  # names are made of them
        super().__init__(conf, python, requirements, variables)

    @classmethod
    def matches(cls, python: str) -> bool:
        return python == "same"

    def check_presence(self) -> bool:
        """There is nothing to create but a folder for the checkout."""
        Path(self._path).mkdir(parents=True, exist_ok=True)
        return True

    def _build_project(self, *_: Any) -> None:
        pass

    def _install_project(self, *_: Any) -> None:
        pass

    def _uninstall_project(self) -> None:
        self._set_installed_commit_hash(None)

    def run(self, args: list[str], **kwargs: Any) -> Any:
        env = {**kwargs.pop("env", os.environ), **self._global_env_vars, **self._installation()}
        return check_output([sys.executable, *args], env=env, **kwargs)

    def _installation(self) -> dict[str, str]:
        """Variables that do what an installation does; and caches that are each commit's own."""
        root = Path(self._build_root)
        project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
        paths = [str(root), str(root / "backends"), os.environ.get("ASV_PYTHONPATH")]
        path = os.pathsep.join(filter(None, paths))
        cache = Path(self._path) / "cache" / self._global_env_vars["ASV_COMMIT"]
        return {
            "ASV_PYTHONPATH": path,  # for the benchmarks
            "PYTHONPATH": path,  # for processes that they start
            "APPROXTOPK_PLUGINS": ",".join(project["entry-points"]["approxtopk"].values()),
            "PYTHONPYCACHEPREFIX": str(cache / "python"),
            "NUMBA_CACHE_DIR": str(cache / "numba"),
        }
