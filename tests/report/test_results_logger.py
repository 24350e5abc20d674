"""What is saved under which name, and what a run leaves behind: nothing of anybody else's is touched."""

import json
import os
import shutil
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from perfcore.errors import NotSavedError
from perfcore.report import unsaved_run
from perfcore.report.results_logger import ResultsLogger

from .documents import suite_result
from .saving import STAMP, STARTED, save, write_rows


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
