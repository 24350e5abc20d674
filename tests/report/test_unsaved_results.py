"""Results that cannot be saved: it is told, nothing half-written stays, and what a killed process left is removed."""

import errno
import json
import os
import re
import resource
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from perfcore.errors import NotSavedError
from perfcore.report import result_directory, unsaved_run
from perfcore.report.results_logger import ResultsLogger

from .documents import suite_result
from .saving import STAMP, STARTED, save, small_disk, write_rows


def test_a_full_disk_is_told_and_nothing_half_written_stays(tmp_path):
    place = tmp_path / "disk"
    with small_disk(place, "size=64k"):
        logger = ResultsLogger(place)
        logger.open_run(STARTED)
        with pytest.raises(NotSavedError) as told:
            logger.save(suite_result(), {"suite.yaml": b"x" * 200_000})
        assert f"{STAMP}: No space left on device: the result of this run was not saved" in str(told.value)
        assert list(place.iterdir()) == []
        path, _ = save(place)  # with room again, the same place serves
        assert (path / "results.json").is_file()


def test_samples_do_not_take_the_room_that_the_result_needs(tmp_path):
    place = tmp_path / "disk"
    with small_disk(place, "size=64k"):
        logger = ResultsLogger(place)
        logger.open_run(STARTED)
        paths = logger.sample_paths(1)
        with suppress(OSError), open(paths.supervisor, "wb", 0) as file:
            file.write(b"x" * 200_000)
        saved = logger.save(suite_result(), {})
        assert json.loads((saved / "results.json").read_bytes()) == suite_result().document


def test_no_inode_left_at_the_end_is_told_and_nothing_stays(tmp_path):
    place = tmp_path / "disk"
    with small_disk(place, "size=64k,nr_inodes=3"):
        logger = ResultsLogger(place)
        logger.open_run(STARTED)
        with pytest.raises(NotSavedError, match="No space left on device"):
            logger.save(suite_result(), {"suite.yaml": "a"})
        assert list(place.iterdir()) == []


def test_a_limit_on_file_sizes_is_told_and_nothing_stays(results):
    logger = ResultsLogger(results)
    logger.open_run(STARTED)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(NotSavedError, match="File too large"):
            logger.save(suite_result(), {"suite.yaml": b"x" * 100_000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(results.iterdir()) == []


@pytest.mark.parametrize("number", [errno.EIO, errno.EDQUOT, errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("call", ["mkdir", "open", "fchmod", "link", "write", "fsync", "rename"])
def test_whichever_call_fails_the_result_is_absent_and_told(results, monkeypatch, call, number):
    logger = ResultsLogger(results)
    logger.open_run(STARTED)
    write_rows(logger.sample_paths(1).whole)

    def fails(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(unsaved_run.os, call, fails)
        with pytest.raises(NotSavedError, match=re.escape(os.strerror(number))) as told:
            logger.save(suite_result(), {"suite.yaml": "a"})
    assert "the result of this run was not saved" in str(told.value)
    assert list(results.iterdir()) == []


def test_an_interrupt_while_saving_leaves_nothing(results, monkeypatch):
    logger = ResultsLogger(results)
    logger.open_run(STARTED)

    def interrupted(fd):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(unsaved_run.os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            logger.save(suite_result(), {})
    assert list(results.iterdir()) == []


@pytest.mark.parametrize("call", ["symlink", "lstat"])
def test_a_failing_latest_does_not_lose_the_result(results, monkeypatch, call):
    real = getattr(os, call)

    def fails(*args, **keys):
        if "latest" in str(args):
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        return real(*args, **keys)

    monkeypatch.setattr(result_directory.os, call, fails)
    path, logger = save(results)
    assert [entry.name for entry in path.iterdir()] == ["results.json"]
    assert logger.warnings == [
        f"{results}/latest: Operation not permitted: does not point to the newest result"
    ]


KILLED = """
import os, signal, sys
from datetime import datetime, UTC
from pathlib import Path
from perfcore.metrics.test_result import SuiteResult
from perfcore.report import unsaved_run
from perfcore.report.results_logger import ResultsLogger
logger = ResultsLogger(Path(sys.argv[1]))
logger.open_run(datetime(2026, 11, 22, 10, tzinfo=UTC))
open(logger.sample_paths(2).whole, "wb").write(b"rows")
real = getattr(os, sys.argv[2])
def killed(*args, **keys):
    setattr(os, sys.argv[2], real)
    os.kill(os.getpid(), getattr(signal, sys.argv[3]))
    return real(*args, **keys)
setattr(os, sys.argv[2], killed)
logger.save(SuiteResult({"results": {}}), {"suite.yaml": "a"})
"""


@pytest.mark.parametrize("call", ["link", "rename"])
def test_what_a_process_killed_in_the_moment_of_saving_leaves_is_removed_by_the_next_run(results, call):
    killed = subprocess.run([sys.executable, "-c", KILLED, results, call, "SIGKILL"], check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = results.iterdir()
    assert left.name.startswith(f".{STAMP}.tmp-")
    path, _ = save(results)
    assert path.name == STAMP
    assert {entry.name for entry in results.iterdir()} == {STAMP, "latest"}


@pytest.mark.parametrize("call", ["write", "fsync", "mkdir"])
def test_what_a_process_killed_during_the_load_or_while_it_writes_leaves_is_nothing(results, call):
    killed = subprocess.run([sys.executable, "-c", KILLED, results, call, "SIGKILL"], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert list(results.iterdir()) == []


def test_the_hidden_directory_of_a_process_that_is_alive_stays(results):
    with subprocess.Popen([sys.executable, "-c", KILLED, results, "link", "SIGSTOP"]) as stopped:
        try:
            os.waitpid(stopped.pid, os.WUNTRACED)
            (hidden,) = results.iterdir()
            save(results)
            assert hidden.is_dir()
            os.kill(stopped.pid, signal.SIGCONT)
            assert stopped.wait(30) == 0
        finally:
            stopped.kill()
    assert {entry.name for entry in results.iterdir()} == {STAMP, f"{STAMP}-2", "latest"}
    assert (results / f"{STAMP}-2" / "samples.npy").read_bytes() == b"rows"


def test_leftovers_of_the_first_version_are_removed_and_what_looks_like_them_is_not(results):
    results.mkdir()
    old = results / f".{STAMP}.tmp-4711"
    old.mkdir()
    (old / ".samples-supervisor").write_bytes(b"rows")
    (old / ".samples-worker-3").write_bytes(b"rows")
    (results / f".latest.{STAMP}.tmp-4711").symlink_to("nowhere")
    mine = results / f".{STAMP}.tmp-4712"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    (results / f".latest.{STAMP}.tmp-4712").write_text("mine")
    (results / ".hidden").mkdir()
    (results / f".{STAMP}.tmp-4713").symlink_to(mine)
    save(results)
    assert {entry.name for entry in results.iterdir()} == {
        STAMP, "latest", mine.name, f".latest.{STAMP}.tmp-4712", ".hidden", f".{STAMP}.tmp-4713",
    }  # fmt: skip
    assert (mine / "notes.txt").read_text() == "mine"
