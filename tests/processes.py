"""Other Python processes, with distributions of a test's own on their path."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def install(site: Path, name: str, code: str, version: str = "1.2") -> None:
    """Lay a distribution of one module, which is its own plug-in, into a folder.

    That is a module beside a ``.dist-info``: all that an installer leaves behind, and all that
    entry points need.
    """
    (site / f"{name}.py").write_text(code)
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[approxtopk]\n{name} = {name}\n")


def python(site: Path, code: str, **env: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("APPROXTOPK_")}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "PYTHONPATH": path, **env},
        capture_output=True,
        text=True,
        timeout=120,
    )
