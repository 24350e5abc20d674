import errno
import json
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from perfcore.errors import ExitCode, NotSavedError
from perfcore.report import results_logger
from perfcore.report.results_logger import ResultsLogger

from .documents import suite_result

STARTED = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)
STAMP = "2026-11-22T10-00-00Z"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def save(results: Path, files=None) -> tuple[Path, ResultsLogger]:
    logger = ResultsLogger(results)
    logger.open_run(STARTED)
    return logger.save(suite_result(), files or {}), logger


@contextmanager
def umask(value: int):
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def small_disk(path: Path, options: str):
    path.mkdir(exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], capture_output=True)
    if mounted.returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)


def test_a_result_is_saved_under_its_start_in_utc_with_the_files_given(results):
    path, logger = save(results, {"suite.yaml": "name: ü\n", "notes.bin": b"\x00\xff"})
    assert path == results / STAMP
    assert sorted(entry.name for entry in path.iterdir()) == ["notes.bin", "results.json", "suite.yaml"]
    assert json.loads((path / "results.json").read_bytes()) == suite_result().document
    assert (path / "suite.yaml").read_text(encoding="utf-8") == "name: ü\n"
    assert (path / "notes.bin").read_bytes() == b"\x00\xff"
    assert sorted(entry.name for entry in results.iterdir()) == [STAMP, "latest"]
    assert logger.warnings == []


def test_a_start_in_another_time_zone_is_told_in_utc(results):
    logger = ResultsLogger(results)
    logger.open_run(STARTED.astimezone(timezone(timedelta(hours=5, minutes=30))))
    assert logger.save(suite_result(), {}).name == STAMP


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o177, 0o777])
def test_modes_are_private_whatever_the_umask(results, mask):
    with umask(mask):
        logger = ResultsLogger(results)
        run_dir = logger.open_run(STARTED)
        assert mode(run_dir) == 0o700
        (run_dir / "samples-0.bin").write_bytes(b"rows")
        (run_dir / "samples-0.bin").chmod(0o666)
        path = logger.save(suite_result(), {"suite.yaml": "a"})
    assert mode(results) == 0o700
    assert mode(path) == 0o700
    assert {mode(entry) for entry in path.iterdir()} == {0o600}


def test_a_results_directory_that_was_there_keeps_its_mode(results):
    results.mkdir()
    results.chmod(0o755)
    save(results)
    assert mode(results) == 0o755


def test_what_workers_put_into_the_run_directory_is_kept(results):
    logger = ResultsLogger(results)
    run_dir = logger.open_run(STARTED)
    (run_dir / "samples-0.bin").write_bytes(b"rows")
    assert (logger.save(suite_result(), {}) / "samples-0.bin").read_bytes() == b"rows"


def test_runs_of_the_same_second_get_suffixes_even_when_they_overlap(results):
    loggers = [ResultsLogger(results) for _ in range(3)]
    assert len({logger.open_run(STARTED) for logger in loggers}) == 3
    names = [logger.save(suite_result(), {}).name for logger in loggers]
    assert names == [STAMP, f"{STAMP}-2", f"{STAMP}-3"]
    assert os.readlink(results / "latest") == f"{STAMP}-3"


def test_nothing_that_has_the_name_already_is_replaced(results):
    results.mkdir()
    (results / STAMP).mkdir()  # empty: rename(2) would replace it
    (results / f"{STAMP}-2").write_text("a file")
    (results / f"{STAMP}-3").symlink_to("nowhere")
    path, _ = save(results)
    assert path.name == f"{STAMP}-4"
    assert list((results / STAMP).iterdir()) == []
    assert (results / f"{STAMP}-2").read_text() == "a file"
    assert (results / f"{STAMP}-3").is_symlink()


def test_latest_is_a_relative_link_to_the_newest_and_survives_a_move(results, tmp_path):
    save(results)
    path, _ = save(results)
    assert os.readlink(results / "latest") == path.name
    results.rename(tmp_path / "moved")
    assert (tmp_path / "moved" / "latest" / "results.json").is_file()


def test_latest_that_points_elsewhere_is_replaced_and_its_target_untouched(results, tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    results.mkdir()
    (results / "latest").symlink_to(victim)
    save(results)
    assert os.readlink(results / "latest") == STAMP
    assert list(victim.iterdir()) == []


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_latest_that_is_no_link_is_left_alone_with_a_warning(results, kind):
    results.mkdir()
    if kind == "directory":
        (results / "latest").mkdir()
        (results / "latest" / "mine").write_text("kept")
    else:
        (results / "latest").write_text("kept")
    path, logger = save(results)
    assert (path / "results.json").is_file()
    assert not (results / "latest").is_symlink()
    (warning,) = logger.warnings
    assert "latest: is not a symbolic link" in warning
    assert [entry.name for entry in results.iterdir() if entry.name.startswith(".")] == []


def test_a_link_planted_under_the_temporary_name_is_not_followed(results, tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    results.mkdir()
    (results / f".{STAMP}.tmp-{os.getpid()}").symlink_to(victim)
    path, _ = save(results)
    assert (path / "results.json").is_file()
    assert list(victim.iterdir()) == []


def test_a_link_planted_in_the_run_directory_is_not_written_through(results, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    logger = ResultsLogger(results)
    run_dir = logger.open_run(STARTED)
    (run_dir / "results.json").symlink_to(victim)
    with pytest.raises(NotSavedError):
        logger.save(suite_result(), {})
    assert victim.read_text() == "mine"
    assert list(results.iterdir()) == []


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc/x", "results.json", "a\0b"])
def test_a_further_file_cannot_leave_the_directory_or_replace_the_result(results, name):
    logger = ResultsLogger(results)
    logger.open_run(STARTED)
    with pytest.raises(ValueError):
        logger.save(suite_result(), {name: "x"})
    logger.discard()


def test_discard_leaves_nothing_and_may_come_twice(results):
    logger = ResultsLogger(results)
    (logger.open_run(STARTED) / "samples-0.bin").write_bytes(b"rows")
    logger.discard()
    logger.discard()
    assert list(results.iterdir()) == []


def test_saving_without_an_open_run_is_a_bug():
    with pytest.raises(RuntimeError):
        ResultsLogger(Path("nowhere")).save(suite_result(), {})


def test_a_directory_removed_during_the_run_costs_its_files_but_not_the_figures(results):
    logger = ResultsLogger(results)
    logger.open_run(STARTED)
    shutil.rmtree(results)
    assert (logger.save(suite_result(), {}) / "results.json").is_file()
    (warning,) = logger.warnings
    assert "removed during the run" in warning


def test_a_file_where_the_directory_should_be_is_told_before_the_load(tmp_path):
    (tmp_path / "results").write_text("mine")
    with pytest.raises(NotSavedError) as told:
        ResultsLogger(tmp_path / "results").open_run(STARTED)
    assert str(told.value) == (
        f"{tmp_path}/results: Not a directory: a result could not be saved there, so the load was not started; "
        "name another directory with --results-dir DIR"
    )
    assert told.value.exit_code == ExitCode.NOT_SAVED
    assert (tmp_path / "results").read_text() == "mine"


def test_a_directory_below_a_file_is_told_before_the_load(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotSavedError, match="Not a directory"):
        ResultsLogger(tmp_path / "file" / "results").open_run(STARTED)


def test_missing_parents_are_made(tmp_path):
    path, _ = save(tmp_path / "a" / "b" / "c")
    assert (path / "results.json").is_file()


def test_a_read_only_place_is_told_before_the_load(tmp_path):
    place = tmp_path / "disk"
    if os.geteuid() == 0:
        with small_disk(place, "ro,size=64k"), pytest.raises(NotSavedError, match="Read-only file system"):
            ResultsLogger(place).open_run(STARTED)
    else:
        place.mkdir(mode=0o555)
        with pytest.raises(NotSavedError, match="Permission denied"):
            ResultsLogger(place).open_run(STARTED)


def test_a_full_disk_is_told_and_nothing_half_written_stays(tmp_path):
    place = tmp_path / "disk"
    with small_disk(place, "size=64k"):
        logger = ResultsLogger(place)
        logger.open_run(STARTED)
        with pytest.raises(NotSavedError) as told:
            logger.save(suite_result(), {"big": b"x" * 200_000})
        assert f"{STAMP}: No space left on device: the result of this run was not saved" in str(told.value)
        assert list(place.iterdir()) == []
        path, _ = save(place)  # with room again, the same place serves
        assert (path / "results.json").is_file()


def test_no_inode_left_is_told_before_the_load(tmp_path):
    place = tmp_path / "disk"
    with (
        small_disk(place, "size=64k,nr_inodes=1"),
        pytest.raises(NotSavedError, match="No space left on device"),
    ):
        ResultsLogger(place).open_run(STARTED)


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
            logger.save(suite_result(), {"big": b"x" * 100_000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(results.iterdir()) == []


@pytest.mark.parametrize("call", ["fsync", "fchmod", "fdopen", "scandir"])
def test_whichever_call_fails_the_result_is_absent_and_told(results, monkeypatch, call):
    logger = ResultsLogger(results)
    logger.open_run(STARTED)

    def fails(*args, **kwargs):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(results_logger.os, call, fails)
        with pytest.raises(NotSavedError, match="Input/output error"):
            logger.save(suite_result(), {})
    assert list(results.iterdir()) == []


def test_an_interrupt_while_saving_leaves_nothing(results, monkeypatch):
    logger = ResultsLogger(results)
    logger.open_run(STARTED)

    def interrupted(fd):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(results_logger.os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            logger.save(suite_result(), {})
    assert list(results.iterdir()) == []


def test_a_failing_latest_does_not_lose_the_result(results, monkeypatch):
    def fails(self, target):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "symlink_to", fails)
    path, logger = save(results)
    assert (path / "results.json").is_file()
    assert logger.warnings == [
        f"{results}/latest: Operation not permitted: does not point to the newest result"
    ]


def test_a_process_killed_while_it_writes_leaves_the_hidden_directory_alone(results):
    program = f"""
import os, signal
from datetime import datetime, UTC
from pathlib import Path
from perfcore.metrics.test_result import SuiteResult
from perfcore.report.results_logger import ResultsLogger
logger = ResultsLogger(Path({str(results)!r}))
logger.open_run(datetime(2026, 11, 22, 10, tzinfo=UTC))
os.fsync = lambda fd: os.kill(os.getpid(), signal.SIGKILL)
logger.save(SuiteResult({{"results": {{}}}}), {{}})
"""
    killed = subprocess.run([sys.executable, "-c", program], check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = results.iterdir()
    assert left.name.startswith(f".{STAMP}.tmp-")
    path, _ = save(results)
    assert path.name == STAMP
