"""What can be run on this repository, each in an environment of its own: ``nox -l`` lists it."""

from __future__ import annotations

import tarfile
import tempfile
import tomllib
import zipfile
from configparser import ConfigParser
from email import message_from_bytes
from pathlib import Path

import nox

PYPROJECT = tomllib.loads(Path("pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
BACKENDS = list(PROJECT["entry-points"]["approxtopk"])
TORCH = [each for each in EXTRAS["test"] if each.startswith("torch")]
PACKAGES = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]

nox.options.sessions = ["tests(backend='numpy')", "lint", "types", "wheel"]
nox.options.reuse_existing_virtualenvs = True
nox.needs_version = ">=2024.4"


@nox.session
@nox.parametrize("backend", BACKENDS)
def tests(session: nox.Session, backend: str) -> None:
    """Run the whole suite (numpy), or the laws and the own tests of another backend."""
    session.install(f".[test,{backend}]" if backend in EXTRAS else ".[test]")
    if backend == "numpy":
        session.run("pytest", *session.posargs)
        return
    own = [folder for folder in (f"tests/{backend}",) if Path(folder).is_dir()]
    session.run("pytest", "tests/laws", *own, "-k", backend, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting of the whole tree."""
    session.install("ruff==0.17.*")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of every package, strictly."""
    session.install(".[test]", "mypy==2.4.*")
    session.run("mypy")


@nox.session
def wheel(session: nox.Session) -> None:
    """Build sdist and wheel, check what is in them, and use the wheel in an empty environment."""
    session.install("build")
    with tempfile.TemporaryDirectory() as folder:
        dist, empty = Path(folder) / "dist", Path(folder) / "empty"
        session.run("python", "-m", "build", "--outdir", str(dist))
        (sdist,), (built,) = dist.glob("*.tar.gz"), dist.glob("*.whl")
        _check_sdist(sdist)
        _check_wheel(built)

        session.run("python", "-m", "venv", str(empty))
        python, program = str(empty / "bin" / "python"), str(empty / "bin" / "approxtopk")
        session.run(python, "-m", "pip", "install", "-q", str(built), external=True)
        session.chdir(folder)  # away from the checkout
        session.run(python, "-c", USE, external=True)
        session.run(program, "info", external=True, success_codes=[2], silent=True)
        session.run(python, "-m", "pip", "install", "-q", f"{built}[demo]", external=True)
        session.run(program, "info", external=True)
        session.run(program, "demo", "--plot", "demo.png", external=True)


#: What must work with nothing installed but the wheel, NumPy and pluggy.
USE = """
import importlib.metadata, numpy as np, approxtopk
names = {d.name.lower() for d in importlib.metadata.distributions()} - {"pip", "setuptools"}
assert names == {"approxtopk", "numpy", "pluggy"}, names
x = np.random.default_rng(0).permutation(100_000).reshape(10, -1)
exact = approxtopk.topk(x, 10, recall=1.0, sorted=True)
assert (exact.values == -np.sort(-x)[:, :10]).all()
approximate = approxtopk.topk(x, 10)
assert (np.take_along_axis(x, approximate.indices, -1) == approximate.values).all()
assert approxtopk.recall(approximate, exact) > 0.8
status = {s.name: s for s in approxtopk.backends()}["numpy"]
assert status.usable and "(approxtopk " in status.origin, status
print("works:", status.origin)
"""


def _check_sdist(path: Path) -> None:
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "noxfile.py"}
    wanted |= {f"{package}/__init__.py" for package in PACKAGES}
    wanted |= {"tests/data/recall.csv", "docs/writing-a-backend.md"}
    assert wanted <= names, f"missing from the sdist: {wanted - names}"


def _check_wheel(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        info = next(name for name in names if name.endswith(".dist-info/METADATA")).partition("/")[
            0
        ]
        metadata = message_from_bytes(archive.read(f"{info}/METADATA"))
        entry_points = ConfigParser()
        entry_points.read_string(archive.read(f"{info}/entry_points.txt").decode())
    top = {name.partition("/")[0] for name in names} - {info}
    assert top == {Path(package).name for package in PACKAGES}, f"in the wheel: {top}"
    backends = {init.parent.name for init in Path("backends").glob("*/__init__.py")}
    assert backends <= top, f"missing from the wheel: {backends - top}"
    for package in PACKAGES:  # every file of every package, and their types
        files = [
            f for f in Path(package).rglob("*") if f.is_file() and "__pycache__" not in f.parts
        ]
        there = {f"{Path(package).name}/{f.relative_to(package)}" for f in files}
        assert there <= names, f"missing from the wheel: {there - names}"
        assert f"{Path(package).name}/py.typed" in names, f"{package} has no py.typed"
    assert any(name.startswith(f"{info}/licenses/") for name in names), "no licence"
    assert dict(entry_points["approxtopk"]) == PROJECT["entry-points"]["approxtopk"]
    assert dict(entry_points["console_scripts"]) == PROJECT["scripts"]
    needed = [r for r in metadata.get_all("Requires-Dist", []) if "extra ==" not in r]
    assert sorted(needed) == sorted(PROJECT["dependencies"]), needed


@nox.session
def demo(session: nox.Session) -> None:
    """Run the demo; its picture is written here."""
    session.install(".[demo]")
    session.run("approxtopk", "demo", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site with warnings as errors."""
    session.install(".[test,docs]")
    _sphinx(session, "html", *session.posargs)


@nox.session
def examples(session: nox.Session) -> None:
    """Run every example in the site."""
    session.install(".[test,docs]")
    _sphinx(session, "doctest", *session.posargs)


@nox.session
def site(session: nox.Session) -> None:
    """Put the dashboard into the site, and open all of it in headless Chromium."""
    session.install(".[test,docs,bench]", "playwright==1.65.*")
    _sphinx(session, "html")
    session.run("python", "asv_bench/dashboard.py")
    session.run("pytest", "tests/site/test_site.py", *session.posargs)


def _sphinx(session: nox.Session, builder: str, *options: str) -> None:
    """Build what changed; pages are read once for all builders."""
    session.run(
        *("python", "-m", "sphinx", "-q", "-W", "--keep-going", "-b", builder),
        *("-d", "docs/_build/doctrees", "docs", f"docs/_build/{builder}", *options),
    )


@nox.session
def dashboard(session: nox.Session) -> None:
    """Write the results in asv_bench/results as pages into the site."""
    session.install(*EXTRAS["bench"])
    session.run("python", "asv_bench/dashboard.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure on this machine's CPU, ``-- NAME [range] [options]``, into asv_bench/results.

    NAME says what the machine is; without a range the commit that is checked out is measured.
    """
    if not session.posargs or session.posargs[0].startswith("-"):
        session.error("name the machine: nox -s bench -- 2-core-x86_64-cpu")
    name, *others = session.posargs
    commits = others.pop(0) if others and not others[0].startswith("-") else "HEAD^!"
    _install_for_benchmarks(session)
    session.chdir("asv_bench")
    session.run("python", "machine.py", name)
    session.run("asv", "run", "--machine", name, *others, commits)


@nox.session
def bench_compare(session: nox.Session) -> None:
    """Compare two commits, ``-- A B``: ratios, and a failure where B is slower past a factor."""
    if len(session.posargs) < 2:
        session.error("name two commits: nox -s bench_compare -- main HEAD")
    _install_for_benchmarks(session)
    session.run("python", "asv_bench/compare.py", *session.posargs)


def _install_for_benchmarks(session: nox.Session) -> None:
    """Everything but the library, which comes from the commit that is measured."""
    session.install(*EXTRAS["bench"], *EXTRAS["numba"], *TORCH, *PROJECT["dependencies"])
