"""Publish the dashboard into the site, with every script that it needs beside it.

    python asv_bench/dashboard.py

``asv publish`` writes pages that load libraries from other hosts. Here these come from npm, once,
so that a reader of the site asks nobody else for anything and the site works without a network.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).parent
SITE = HERE.parent / "docs" / "_build" / "html" / "dashboard"
CACHE = HERE.parent / ".asv" / "npm"

#: Where npm has what asv's pages load: the last part of an address, package, file.
SOURCES = {
    "jquery-3.3.1.min.js": ("jquery@3.3.1", "dist/jquery.min.js"),
    "jquery.flot.min.js": ("flot@0.8.3", "jquery.flot.js"),
    "jquery.flot.time.min.js": ("flot@0.8.3", "jquery.flot.time.js"),
    "jquery.flot.selection.min.js": ("flot@0.8.3", "jquery.flot.selection.js"),
    "jquery.flot.categories.min.js": ("flot@0.8.3", "jquery.flot.categories.js"),
    "jquery.flot.orderBars.js": ("flot-orderbars@1.0.0", "js/jquery.flot.orderBars.js"),
    "stupidtable.min.js": ("stupid-table-plugin@1.1.3", "stupidtable.min.js"),
    "md5.min.js": ("blueimp-md5@2.19.0", "js/md5.min.js"),
    "bootstrap.min.js": ("bootstrap@3.1.1", "dist/js/bootstrap.min.js"),
    "bootstrap.min.css": ("bootstrap@3.1.1", "dist/css/bootstrap.min.css"),
}

#: A script or a style sheet from elsewhere, with the attributes that only such a one needs.
REMOTE = re.compile(r'(?P<attribute>src|href)="https://[^"]*/(?P<name>[^"/]+\.(?:js|css))"')
ATTRIBUTES = re.compile(r' (?:integrity|crossorigin|referrerpolicy)="[^"]*"')


def fetch(packages: set[str]) -> None:
    """Packages by npm, unpacked; those that are there already are not asked for again."""
    missing = sorted(package for package in packages if not (CACHE / package).is_dir())
    if not missing:
        return
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm must be installed: it fetches what the dashboard's pages load")
    CACHE.mkdir(parents=True, exist_ok=True)
    command = [npm, "pack", "--silent", "--pack-destination", str(CACHE), *missing]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    for package in missing:
        with tarfile.open(CACHE / f"{package.replace('@', '-')}.tgz") as archive:
            # Python 3.11.0 to 3.11.3 have no filters.
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(CACHE / package)


def keep_beside(page: str) -> str:
    """The page with its libraries copied beside it, and loaded from there."""

    def local(match: re.Match[str]) -> str:
        package, file = SOURCES[match["name"]]
        target = SITE / "vendor" / package / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CACHE / package / "package" / file, target)
        return f'{match["attribute"]}="vendor/{package}/{file}"'

    return ATTRIBUTES.sub("", REMOTE.sub(local, page))


def fill_gaps() -> None:
    """Leave out what no machine measured, and say "nothing" for what one of them didn't.

    The pages ask for the graph of every benchmark on every machine, whether there is one or not.
    """
    index = SITE / "index.json"
    content = json.loads(index.read_text())
    graphs = SITE / "graphs"
    measured = {each.stem: each for each in (graphs / "summary").glob("*.json")}
    known = content["benchmarks"].items()
    content["benchmarks"] = {name: about for name, about in known if name in measured}
    index.write_text(json.dumps(content))
    for folder in {each.parent for each in graphs.rglob("*.json")}:
        for name in content["benchmarks"]:
            graph = folder / f"{name}.json"
            if not graph.exists():
                graph.write_text("[]")


def main() -> None:
    asv = [sys.executable, "-m", "asv", "publish", "--config", str(HERE / "asv.conf.json")]
    subprocess.run([*asv, *sys.argv[1:]], check=True)
    fill_gaps()
    fetch({package for package, _ in SOURCES.values()})
    index = SITE / "index.html"
    index.write_text(keep_beside(index.read_text()))
    fonts = SITE / "vendor" / "bootstrap@3.1.1" / "dist" / "fonts"
    shutil.copytree(CACHE / "bootstrap@3.1.1/package/dist/fonts", fonts, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
