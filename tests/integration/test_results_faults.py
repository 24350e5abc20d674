"""Disks that are full, read-only or broken, before the load and during it; and what a killed run leaves."""

import errno
import json
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy
import pytest
from integration.runs import (
    COMMAND,
    changed_perfcore,
    completed,
    ended,
    one_test,
    run,
    started,
    under_load,
    workers_of,
    write_suite,
)
from waiting import wait_until

NOT_STARTED = (
    "a result could not be saved there, so the load was not started; name another directory with "
    "--results-dir DIR"
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator["Disk"]:
    """A file system of its own below tmp_path/results, where root runs the tests and may mount."""
    place = tmp_path / "results"
    place.mkdir()
    mounted = Disk(place)
    yield mounted
    mounted.unmount()


class Disk:
    def __init__(self, place: Path) -> None:
        self.place = place
        self._is_mounted = False

    def mount(self, options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.place)]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode:
            pytest.skip("a tmpfs cannot be mounted here")
        self._is_mounted = True

    def remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.place)], check=True)

    def unmount(self) -> None:
        if self._is_mounted:
            subprocess.run(["umount", "--lazy", str(self.place)], check=True)

    def fill(self) -> None:
        with suppress(OSError), open(self.place / "filler", "wb", 0) as file:
            while True:
                file.write(b"x" * 4096)

    def use_all_inodes(self) -> None:
        with suppress(OSError):
            for number in range(1000):
                (self.place / f"filler-{number}").touch()

    def foreign(self) -> list[str]:
        """What lies there besides the fillers."""
        return [entry.name for entry in self.place.iterdir() if not entry.name.startswith("filler")]


def of_half_a_second(target):
    return one_test(target.url, endpoint="/health", parallel_users=4, duration="600ms")


@pytest.mark.parametrize(
    ("options", "fault", "reason", "more"),
    [
        ("size=64k", "fill", "No space left on device", []),
        ("size=64k", "fill", "No space left on device", ["--samples"]),
        ("size=64k,nr_inodes=8", "use_all_inodes", "No space left on device", ["--samples"]),
        ("size=64k,ro", None, "Read-only file system", []),
    ],
)
def test_a_disk_that_refuses_before_the_load_costs_no_request(
    tmp_path, target, disk, options, fault, reason, more
):
    disk.mount(options)
    if fault:
        getattr(disk, fault)()
    done = run(tmp_path, of_half_a_second(target), *more)
    assert done.code == 106
    assert done.stderr == f"perfcore: {disk.place}: {reason}: {NOT_STARTED}\n"
    assert done.stdout == ""
    assert target.stats()["requests"] == 0
    assert disk.foreign() == []


def fills(disk):
    disk.fill()


def uses_all_inodes(disk):
    disk.use_all_inodes()


def becomes_read_only(disk):
    disk.remount("ro")


@pytest.mark.parametrize(
    ("fault", "reason", "form"),
    [
        (fills, "No space left on device", "summary"),
        (fills, "No space left on device", "json"),
        (uses_all_inodes, "No space left on device", "summary"),
        (becomes_read_only, "Read-only file system", "json"),
    ],
)
def test_a_disk_that_refuses_during_the_load_costs_the_file_and_not_the_figures(
    tmp_path, target, disk, fault, reason, form
):
    disk.mount("size=64k,nr_inodes=16")
    more = ["--json"] if form == "json" else []
    with started(tmp_path, of_half_a_second(target), *more) as process:
        under_load(target, 200)
        fault(disk)
        done = ended(process, tmp_path)
    assert done.code == 106
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("perfcore: ")]
    assert f": {reason}: the result of this run was not saved; make room there" in line
    assert str(disk.place) in line
    attempts = target.stats()["requests"]
    if form == "json":
        assert json.loads(done.stdout)["results"]["test"]["attempts"] == attempts
    else:
        assert f"{attempts:,} requests" in done.stdout
        assert "PASSED" in done.stdout
    assert disk.foreign() == []


def test_samples_that_fill_the_disk_cost_samples_alone(tmp_path, target, disk):
    disk.mount("size=512k")
    text = one_test(target.url, endpoint="/health", parallel_users=4, iterations=2500)
    done = run(tmp_path, text, "--samples", "--procs", "1")
    assert done.code == 106
    assert "No space left on device; the result itself was saved" in done.stderr
    requests = target.stats()["requests"]
    assert done.test("test")["attempts"] == requests
    kept = disk.place / "latest" / "samples.npy"
    rows = len(numpy.load(kept)) if kept.exists() else 0
    assert f"samples.npy lacks {requests - rows:,} requests: No space left on device" in done.stderr


BREAKS = """
import os, sys
number = int(sys.argv.pop(1))

def breaks(*_args, **_keys):
    raise OSError(number, os.strerror(number))

os.rename = breaks  # the last step of saving
"""


@pytest.mark.parametrize("number", [errno.EIO, errno.EDQUOT])
def test_whatever_the_disk_answers_the_summary_is_shown_and_the_reason_told(tmp_path, target, number):
    text = one_test(target.url, endpoint="/health", iterations=7)
    done = run(tmp_path, text, "--samples", command=changed_perfcore(BREAKS, str(number)))
    assert done.code == 106
    assert f"{os.strerror(number)}: the result of this run was not saved" in done.stderr
    assert "7 requests" in done.stdout
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "results").iterdir()) == []


@pytest.mark.parametrize("mask", [0o000, 0o777])
def test_all_that_a_run_leaves_is_private_whatever_the_umask(tmp_path, target, mask):
    suite = write_suite(tmp_path, one_test(target.url, endpoint="/health", iterations=7))
    command = [*COMMAND, str(suite), "--samples", "--results-dir", "new/results"]
    done = completed(tmp_path, command, {"PYTHONDONTWRITEBYTECODE": "1"}, umask=mask)
    assert done.code == 0, done.stderr
    modes = {
        path.name: stat.S_IMODE(path.lstat().st_mode)
        for path in (tmp_path / "new", *(tmp_path / "new").rglob("*"))
        if not path.is_symlink()
    }
    stamp = os.readlink(tmp_path / "new" / "results" / "latest")
    assert modes == {
        "new": 0o700, "results": 0o700, stamp: 0o700,
        "results.json": 0o600, "suite.yaml": 0o600, "samples.npy": 0o600,
    }  # fmt: skip


@pytest.mark.parametrize("more", [[], ["--samples"]])
def test_a_killed_supervisor_leaves_no_file_and_takes_no_room(tmp_path, target, disk, more):
    disk.mount("size=512m")
    free = os.statvfs(disk.place).f_bfree
    suite = one_test(target.url, endpoint="/health", parallel_users=8, duration="30s")
    with started(tmp_path, suite, "--procs", "2", *more) as process:
        workers_of(process, 2)
        under_load(target, 2000)
        assert list(disk.place.iterdir()) == []
        if more:
            wait_until(lambda: os.statvfs(disk.place).f_bfree < free, "samples on the disk")
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
        wait_until(lambda: os.statvfs(disk.place).f_bfree == free, "the room given back")
    assert list(disk.place.iterdir()) == []


def test_a_killed_worker_keeps_its_samples(tmp_path, target, disk):
    suite = one_test(target.url, endpoint="/health", parallel_users=8, duration="1s")
    with started(tmp_path, suite, "--procs", "2", "--samples") as process:
        workers = workers_of(process, 2)
        under_load(target, 2000)
        os.kill(workers[0], signal.SIGKILL)
        done = ended(process, tmp_path)
    assert done.code == 97
    rows = numpy.load(disk.place / "latest" / "samples.npy")
    assert len(rows) == done.test("test")["total_requests"]


def test_clean_removes_what_runs_have_left(tmp_path, target):
    for _ in range(2):
        assert run(tmp_path, one_test(target.url, endpoint="/health", iterations=3), "--samples").code == 0
    results = tmp_path / "results"
    newest = os.readlink(results / "latest")
    done = completed(tmp_path, [*COMMAND, "clean", "--keep", "1"])
    assert done.code == 0, done.stderr
    assert done.stdout.startswith("removed 1 result, ")
    assert sorted(entry.name for entry in results.iterdir()) == [newest, "latest"]
