"""Where a result may be saved, told before the load: whose directory it is, its modes, its room."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from perfcore.errors import ExitCode, NotSavedError
from perfcore.report import unsaved_run
from perfcore.report.results_logger import ResultsLogger

from .documents import suite_result
from .saving import STAMP, STARTED, mode, save, small_disk, write_rows

NOBODY = 65534


@contextmanager
def umask(value: int):
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


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


def test_no_inode_left_is_told_before_the_load(tmp_path):
    place = tmp_path / "disk"
    with (
        small_disk(place, "size=64k,nr_inodes=1"),
        pytest.raises(NotSavedError, match="No space left on device"),
    ):
        ResultsLogger(place).open_run(STARTED)
