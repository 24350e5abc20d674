import errno
import json
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

import pytest

from perfcore.errors import ExitCode, NotSavedError
from perfcore.report import result_directory, unsaved_run
from perfcore.report.results_logger import ResultsLogger

from .documents import suite_result

STARTED = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)
STAMP = "2026-11-22T10-00-00Z"
NOBODY = 65534


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


def write_rows(path: str) -> None:
    with open(path, "wb") as file:
        file.write(b"rows")


@pytest.fixture
def place_of_nobody() -> Iterator[Path]:
    """A directory that the user nobody owns; unlike tmp_path it can be reached by every user."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    place = Path(tempfile.mkdtemp())
    os.chown(place, NOBODY, NOBODY)
    yield place
    shutil.rmtree(place)


def as_nobody(function: Callable[[], object]) -> str:
    """What the function returns, or the error that it ends with, in a fork that has become the user nobody."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            said = str(function())
        except BaseException as error:  # noqa: BLE001 - nothing may leave the fork
            said = repr(error)
        os.write(theirs, said.encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


@contextmanager
def small_disk(path: Path, options: str):
    path.mkdir(exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], capture_output=True)
    if mounted.returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def test_a_result_is_saved_under_its_start_in_utc_with_the_files_given(results):
    path, logger = save(results, {"suite.yaml": "name: ü\n", "samples.npy": b"\x00\xff"})
    assert path == results / STAMP
    assert sorted(entry.name for entry in path.iterdir()) == ["results.json", "samples.npy", "suite.yaml"]
    assert json.loads((path / "results.json").read_bytes()) == suite_result().document
    assert (path / "suite.yaml").read_text(encoding="utf-8") == "name: ü\n"
    assert (path / "samples.npy").read_bytes() == b"\x00\xff"
    assert sorted(entry.name for entry in results.iterdir()) == [STAMP, "latest"]
    assert logger.warnings == []


def test_a_start_in_another_time_zone_is_told_in_utc(results):
    logger = ResultsLogger(results)
    logger.open_run(STARTED.astimezone(timezone(timedelta(hours=5, minutes=30))))
    assert logger.save(suite_result(), {}).name == STAMP


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o177, 0o777])
def test_modes_are_private_whatever_the_umask(tmp_path, mask):
    results = tmp_path / "made" / "results"
    with umask(mask):
        logger = ResultsLogger(results)
        logger.open_run(STARTED)
        write_rows(logger.sample_paths(1).whole)
        path = logger.save(suite_result(), {"suite.yaml": "a"})
    assert [mode(place) for place in (results.parent, results, path)] == [0o700] * 3
    assert {entry.name: mode(entry) for entry in path.iterdir()} == {
        "results.json": 0o600,
        "samples.npy": 0o600,
        "suite.yaml": 0o600,
    }


def test_a_user_whose_umask_takes_everything_can_save_too(place_of_nobody):
    def run() -> Path:
        os.umask(0o777)
        return save(place_of_nobody / "made" / "results", {"suite.yaml": "a"})[0]

    saved = place_of_nobody / "made" / "results" / STAMP
    assert as_nobody(run) == str(saved)
    assert [mode(place) for place in (saved.parent.parent, saved.parent, saved)] == [0o700] * 3
    assert [mode(entry) for entry in saved.iterdir()] == [0o600] * 2


def test_a_results_directory_that_was_there_keeps_its_mode(results):
    results.mkdir()
    results.chmod(0o755)
    save(results)
    assert mode(results) == 0o755


@pytest.mark.parametrize("has_unnamed_files", [True, False])
def test_samples_written_during_the_run_are_saved_and_their_parts_are_not(
    results, monkeypatch, has_unnamed_files
):
    if not has_unnamed_files:
        monkeypatch.setattr(unsaved_run, "unnamed_file", lambda directory: None)
    logger = ResultsLogger(results)
    logger.open_run(STARTED)
    paths = logger.sample_paths(2)
    assert len(paths.workers) == 2
    for path in (paths.supervisor, *paths.workers, paths.whole):
        write_rows(path)
    for path in (paths.supervisor, *paths.workers, paths.whole):
        assert Path(path).read_bytes() == b"rows"
    saved = logger.save(suite_result(), {})
    assert {entry.name for entry in saved.iterdir()} == {"results.json", "samples.npy"}
    assert (saved / "samples.npy").read_bytes() == b"rows"
    assert {entry.name for entry in results.iterdir()} == {STAMP, "latest"}


@pytest.mark.parametrize("has_unnamed_files", [True, False])
def test_samples_that_could_not_be_written_are_not_saved_as_an_empty_file(
    results, monkeypatch, has_unnamed_files
):
    if not has_unnamed_files:
        monkeypatch.setattr(unsaved_run, "unnamed_file", lambda directory: None)
    logger = ResultsLogger(results)
    logger.open_run(STARTED)
    logger.sample_paths(1)
    assert [entry.name for entry in logger.save(suite_result(), {}).iterdir()] == ["results.json"]


def test_nothing_has_a_name_while_the_load_runs(results):
    logger = ResultsLogger(results)
    logger.open_run(STARTED)
    paths = logger.sample_paths(2)
    write_rows(paths.whole)
    write_rows(paths.workers[1])
    assert list(results.iterdir()) == []
    logger.discard()
    assert list(results.iterdir()) == []


def test_runs_of_the_same_second_get_suffixes_even_when_they_overlap(results):
    loggers = [ResultsLogger(results) for _ in range(3)]
    for logger in loggers:
        logger.open_run(STARTED)
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


@pytest.mark.parametrize("name", ["results.json", "suite.yaml", "samples.npy"])
def test_a_link_planted_in_the_hidden_directory_is_not_written_through(results, tmp_path, monkeypatch, name):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    logger = ResultsLogger(results)
    logger.open_run(STARTED)
    write_rows(logger.sample_paths(1).whole)
    made = unsaved_run.open_made

    def plant(hidden: str, parent: int) -> int:
        directory = made(hidden, parent)
        os.symlink(victim, name, dir_fd=directory)
        return directory

    monkeypatch.setattr(unsaved_run, "open_made", plant)
    with pytest.raises(NotSavedError, match="File exists"):
        logger.save(suite_result(), {"suite.yaml": "a"})
    assert victim.read_text() == "mine"
    assert list(results.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/etc/x", "results.json", "a\0b", "notes.txt"]
)
def test_a_further_file_cannot_leave_the_directory_or_replace_the_result(results, name):
    logger = ResultsLogger(results)
    logger.open_run(STARTED)
    with pytest.raises(ValueError):
        logger.save(suite_result(), {name: "x"})
    logger.discard()


def test_discard_leaves_nothing_and_may_come_twice(results):
    logger = ResultsLogger(results)
    before = len(os.listdir("/proc/self/fd"))
    logger.open_run(STARTED)
    write_rows(logger.sample_paths(3).workers[0])
    logger.discard()
    logger.discard()
    assert list(results.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_saved_run_leaves_no_descriptor_open(results):
    before = len(os.listdir("/proc/self/fd"))
    logger = ResultsLogger(results)
    logger.open_run(STARTED)
    write_rows(logger.sample_paths(3).whole)
    logger.save(suite_result(), {})
    assert len(os.listdir("/proc/self/fd")) == before


def test_saving_without_an_open_run_is_a_bug():
    with pytest.raises(RuntimeError):
        ResultsLogger(Path("nowhere")).save(suite_result(), {})
    with pytest.raises(RuntimeError):
        ResultsLogger(Path("nowhere")).sample_paths(1)


def test_results_removed_during_the_run_cost_nothing_of_it(results):
    logger = ResultsLogger(results)
    logger.open_run(STARTED)
    write_rows(logger.sample_paths(1).whole)
    shutil.rmtree(results)
    saved = logger.save(suite_result(), {})
    assert {entry.name for entry in saved.iterdir()} == {"results.json", "samples.npy"}
    assert logger.warnings == []


def test_results_moved_during_the_run_are_saved_where_they_were_asked_for(results, tmp_path):
    logger = ResultsLogger(results)
    logger.open_run(STARTED)
    results.rename(tmp_path / "moved")
    assert (logger.save(suite_result(), {}) / "results.json").is_file()
    assert list((tmp_path / "moved").iterdir()) == []
    assert (results / STAMP / "results.json").is_file()


def test_without_unnamed_files_a_removed_directory_costs_the_samples_and_says_so(results, monkeypatch):
    monkeypatch.setattr(unsaved_run, "unnamed_file", lambda directory: None)
    logger = ResultsLogger(results)
    logger.open_run(STARTED)
    logger.sample_paths(1)
    shutil.rmtree(results)
    assert (logger.save(suite_result(), {}) / "results.json").is_file()
    (warning,) = logger.warnings
    assert "was removed during the run; samples.npy is lost" in warning


def test_the_owner_is_named_and_the_way_out(results, monkeypatch):
    results.mkdir()
    owner = os.stat(results).st_uid
    monkeypatch.setattr(unsaved_run.os, "geteuid", lambda: owner + 1000)
    monkeypatch.setattr(unsaved_run, "ROOT", -1)
    monkeypatch.setattr(unsaved_run.pwd, "getpwuid", lambda _uid: SimpleNamespace(pw_name="somebody"))
    with pytest.raises(NotSavedError) as told:
        ResultsLogger(results).open_run(STARTED)
    assert str(told.value) == (
        f"{results}: belongs to another user, somebody ({owner}): a result could not be saved there, so the load "
        "was not started; name another directory with --results-dir DIR"
    )
    assert list(results.iterdir()) == []


def test_root_may_save_in_a_directory_of_another_users(results):
    if os.geteuid() != 0:
        pytest.skip("only root can")
    results.mkdir()
    os.chown(results, NOBODY, NOBODY)
    path, _ = save(results)
    assert (path / "results.json").is_file()


def test_a_directory_of_another_users_is_refused_although_it_could_be_written(place_of_nobody):
    theirs = place_of_nobody / "theirs"
    theirs.mkdir()
    theirs.chmod(0o777)
    os.chown(theirs, 1, 1)
    assert "belongs to another user" in as_nobody(lambda: save(theirs))
    assert list(theirs.iterdir()) == []


def test_a_volume_of_roots_that_all_may_write_is_taken(place_of_nobody):
    volume = place_of_nobody / "volume"
    volume.mkdir()
    volume.chmod(0o777)
    assert as_nobody(lambda: save(volume)[0]) == str(volume / STAMP)
    assert mode(volume / STAMP) == 0o700


def test_a_results_directory_that_is_a_link_is_the_users_choice(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "results").symlink_to("disk")
    path, _ = save(tmp_path / "results")
    assert path == tmp_path / "results" / STAMP
    assert (tmp_path / "disk" / STAMP / "results.json").is_file()


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
            logger.save(suite_result(), {"suite.yaml": b"x" * 200_000})
        assert f"{STAMP}: No space left on device: the result of this run was not saved" in str(told.value)
        assert list(place.iterdir()) == []
        path, _ = save(place)  # with room again, the same place serves
        assert (path / "results.json").is_file()


def test_a_disk_that_is_full_already_is_told_before_the_load(tmp_path):
    place = tmp_path / "disk"
    with small_disk(place, "size=64k"):
        with suppress(OSError), open(place / "big", "wb") as file:
            file.write(b"x" * 200_000)
        with pytest.raises(NotSavedError, match=r"No space left on device.*the load was not started"):
            ResultsLogger(place).open_run(STARTED)
        assert [entry.name for entry in place.iterdir()] == ["big"]


def test_samples_that_no_inode_is_left_for_are_told_before_the_load(tmp_path):
    place = tmp_path / "disk"
    with small_disk(place, "size=64k,nr_inodes=4"):
        logger = ResultsLogger(place)
        logger.open_run(STARTED)
        with pytest.raises(NotSavedError, match=r"No space left on device.*the load was not started"):
            logger.sample_paths(8)
        assert list(place.iterdir()) == []


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


def test_runs_of_many_threads_prove_their_place_at_the_same_time(tmp_path: Path) -> None:
    errors: list[Exception] = []

    def prove() -> None:
        for _ in range(40):
            logger = ResultsLogger(tmp_path / "results")
            try:
                logger.open_run(datetime.now(UTC))
            except Exception as error:  # noqa: BLE001 - told below
                errors.append(error)
            finally:
                logger.discard()

    threads = [threading.Thread(target=prove) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert os.listdir(tmp_path / "results") == []
