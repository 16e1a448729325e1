"""Top-k of arrays in files: the same as in memory, and nothing half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import approxtopk
from approxtopk.cli import npyfile
from approxtopk.cli.app import app


def select(*arguments):
    return CliRunner().invoke(app, ["select", *(str(argument) for argument in arguments)])


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 4 kB, so that small files take many."""
    monkeypatch.setattr(npyfile, "BLOCK_BYTES", 4096)


ARRAYS = {
    "rows": np.random.default_rng(0).standard_normal((211, 97), dtype=np.float32),
    "one row": np.random.default_rng(1).permutation(5000),
    "rank 4": np.random.default_rng(2).integers(-128, 128, (3, 17, 11, 5), dtype=np.int8),
    "fortran": np.asfortranarray(np.random.default_rng(3).standard_normal((40, 23, 31))),
    "big-endian": np.random.default_rng(4).standard_normal((64, 50)).astype(">f8"),
    "half": np.random.default_rng(5).standard_normal((64, 50)).astype(np.float16),
    "no rows": np.empty((0, 9)),
    "long rows": np.random.default_rng(6).random((3, 9000)),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"recall": 1.0, "sorted": True},
        {"b": 3, "kb": 1, "largest": False},
        {"k": 0},
    ],
    ids=str,
)
def test_equals_the_call_in_memory(name, options, tmp_path, small_blocks):
    array = ARRAYS[name]
    np.save(tmp_path / "in.npy", array)
    for axis in range(-1, array.ndim - 1):
        if array.shape[axis] == 0:
            continue
        given = {"k": 3, "axis": axis, **options}
        flags = [f"--axis={axis}", "-k", given["k"]]
        flags += [f"--{key}={given[key]}" for key in ("recall", "kb") if key in given]
        flags += ["-b", given["b"]] if "b" in given else []
        flags += ["--sorted"] * ("sorted" in given) + ["--smallest"] * ("largest" in given)
        done = select(tmp_path / "in.npy", "-o", tmp_path / "out.npz", *flags)
        assert done.exit_code == 0, done.output
        want = approxtopk.topk(array, **given)
        with np.load(tmp_path / "out.npz") as got:
            assert sorted(got) == ["indices", "values"]
            assert got["values"].dtype == array.dtype
            np.testing.assert_array_equal(got["values"], want.values)
            np.testing.assert_array_equal(got["indices"], want.indices)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.npy", "out.npz"]


def damaged(folder):
    """Files that are no arrays of numbers, each with what is said of it."""
    whole = folder / "whole.npy"
    np.save(whole, np.arange(1000.0))
    header = whole.read_bytes()[:128]

    def write(name, content):
        (folder / name).write_bytes(content)
        return name

    def save(name, array):
        np.save(folder / name, array)
        return name

    yield "missing.npy", "No such file or directory"
    yield ".", "Is a directory"
    yield write("empty.npy", b""), "not a readable .npy file"
    yield write("text.npy", b"1 2 3 4 5 6 7 8 9"), "not a readable .npy file"
    yield write("header.npy", header[:60]), "not a readable .npy file"
    yield write("lies.npy", header.replace(b"descr", b"dscer")), "not a readable .npy file"
    yield write("version.npy", header.replace(b"\x01\x00", b"\x07\x00", 1)), "not a readable"
    yield write("cut.npy", whole.read_bytes()[:-1]), "cut off, 7999 bytes of elements where 8000"
    yield save("objects.npy", np.array([{}], dtype=object)), "holds Python objects, not numbers"
    yield save("words.npy", np.array(["a", "b"])), "holds str32; supported are float16, "
    yield save("complex.npy", np.ones(9, complex)), "holds complex128; supported are"
    yield save("bool.npy", np.ones(9, bool)), "holds bool; supported are"
    yield save("fields.npy", np.ones(9, "f4,f4")), "holds void64; supported are"
    yield save("scalar.npy", np.float64(1)), "arr must have at least one dimension"
    yield save("nothing.npy", np.ones(0)), "k must be in [0, 0]"


def test_damaged_files(tmp_path, capsys):
    kept = tmp_path / "out.npz"
    kept.write_text("what was there before")
    for name, message in damaged(tmp_path):
        done = select(tmp_path / name, "-k", 1, "-o", kept)
        assert_refused(done, message)
    assert kept.read_text() == "what was there before"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def assert_refused(done, message):
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("approxtopk: ")
    assert message in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-k", 1001], "k must be in [0, 1000] (the length of the axis), got 1001"),
        (["-k", -1], "k must be in [0, 1000]"),
        (["-k", 5, "--axis", 2], "axis must be in [-2, 1] for rank 2, got 2"),
        (["-k", 5, "--recall", 0], "recall must be in (0, 1], got 0.0"),
        (["-k", 5, "-b", 2, "-kb", 1], "keep 2 candidates of n=1000, fewer than k=5"),
        (["-k", 5, "-b", 2, "-kb", 9, "--recall", 0.5], "at most two of recall, b and kb"),
    ],
)
def test_bad_options(options, message, tmp_path):
    np.save(tmp_path / "in.npy", np.ones((2, 1000)))
    assert_refused(select(tmp_path / "in.npy", "-o", tmp_path / "out.npz", *options), message)
    assert [path.name for path in tmp_path.iterdir()] == ["in.npy"]


def test_where_nothing_can_be_written(tmp_path):
    np.save(tmp_path / "in.npy", np.ones(9))
    given = (tmp_path / "in.npy", "-k", 1, "-o")
    assert_refused(select(*given, tmp_path / "nowhere" / "out.npz"), "there is no folder")
    assert_refused(select(*given, tmp_path), "is a folder")


def test_a_failure_halfway_leaves_what_was_there(tmp_path, monkeypatch, small_blocks):
    np.save(tmp_path / "in.npy", ARRAYS["rows"])
    (tmp_path / "out.npz").write_text("what was there before")
    calls = []

    def full(*arguments, **options):
        calls.append(1)
        if len(calls) > 3:
            raise OSError(28, "No space left on device")
        return approxtopk.topk(*arguments, **options)

    monkeypatch.setattr("approxtopk.cli.select.topk", full)
    done = select(tmp_path / "in.npy", "-k", 2, "-o", tmp_path / "out.npz")
    assert_refused(done, "No space left on device")
    assert len(calls) == 4
    assert (tmp_path / "out.npz").read_text() == "what was there before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.npy", "out.npz"]


def test_a_row_that_does_not_fit_is_told(tmp_path, monkeypatch):
    np.save(tmp_path / "in.npy", np.arange(4000))

    def too_long(*_, **__):
        raise MemoryError

    monkeypatch.setattr("approxtopk.cli.select.topk", too_long)
    done = select(tmp_path / "in.npy", "-k", 2, "-o", tmp_path / "out.npz")
    assert_refused(done, "not enough memory: a row of 4000 elements is worked on whole")


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted(sent, code, tmp_path):
    np.save(tmp_path / "in.npy", np.zeros((64, 1000)))
    program = f"""
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
import approxtopk.cli.npyfile as npyfile, approxtopk.cli.select as select
from approxtopk.cli.app import run
npyfile.BLOCK_BYTES = 8000
def slow(*arguments, **options):
    print("working", flush=True)
    time.sleep(0.5)
select.topk = slow
sys.exit(run(["select", {str(tmp_path / "in.npy")!r}, "-k", "1",
              "-o", {str(tmp_path / "out.npz")!r}]))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "working\n"
    assert len(list(tmp_path.iterdir())) == 2  # the folder that it works in
    process.send_signal(sent)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["in.npy"]


def test_a_file_larger_than_memory(tmp_path):
    """A 320 MB file in a process that is given 160 MB more than it has already.

    So the file can't even be mapped whole.
    """
    if not Path("/proc/self/statm").exists():
        pytest.skip("the limit is set from what /proc tells")
    rows, n = 5_000, 8_000
    with (tmp_path / "in.npy").open("wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (rows, n)}
        np.lib.format.write_array_header_1_0(file, header)
        block = np.random.default_rng(0).standard_normal((500, n))
        for _ in range(rows // 500):
            file.write(block)
    size = (tmp_path / "in.npy").stat().st_size
    program = f"""
import resource, sys
import numpy as np, approxtopk
from approxtopk.cli.app import run
approxtopk.topk(np.zeros((2, {n})), 5)  # everything is loaded now
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + {size // 2}, -1))
try:
    np.load({str(tmp_path / "in.npy")!r}, mmap_mode="r")
except OSError:
    print("the file does not fit")
code = run(["select", {str(tmp_path / "in.npy")!r}, "-k", "5", "-b", "500", "-kb", "1",
            "-o", {str(tmp_path / "out.npz")!r}])
with open("/proc/self/status") as file:  # not getrusage: it counts the parent before exec too
    print(next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM")))
sys.exit(code)
"""
    # A thread's arena reserves 128 MB, of what is limited here, and uses hardly any of it.
    alone = {"OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **alone, "APPROXTOPK_BACKEND": "numpy"},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("the file does not fit\n")
    assert int(done.stdout.split()[-1]) < size * 0.75
    with np.load(tmp_path / "out.npz") as got:
        want = approxtopk.topk(block, 5, b=500, kb=1, backend="numpy")
        np.testing.assert_array_equal(got["values"][:500], want.values)
        np.testing.assert_array_equal(got["indices"][-500:], want.indices)
