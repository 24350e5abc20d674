"""What `clean` removes, and above all what it does not."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfcore.report import results_cleaner
from perfcore.report.private_files import lock
from perfcore.report.results_cleaner import StoredResult, clean_results, outdated
from perfcore.report.results_logger import ResultsLogger

from .documents import suite_result

NOW = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)
DAY_S = 86_400.0


@pytest.fixture
def results(tmp_path: Path) -> Path:
    place = tmp_path / "results"
    place.mkdir()
    return place


def write_result(results: Path, days: float, *, number: int = 1, **keys: object) -> Path:
    """A result of so many days ago, as a run leaves it."""
    started = NOW - timedelta(days=days)
    stamp = started.strftime("%Y-%m-%dT%H-%M-%SZ")
    path = results / (stamp if number == 1 else f"{stamp}-{number}")
    path.mkdir(mode=0o700)
    document = {"schema_version": 1, "timestamp": started.strftime("%Y-%m-%dT%H:%M:%SZ"), **keys}
    (path / "results.json").write_text(json.dumps(document))
    (path / "suite.yaml").write_text("test_suite: {}\n")
    return path


def clean(results: Path, *, keep=None, older_than_s=None, dry_run=False):
    return clean_results(results, keep=keep, older_than_s=older_than_s, now=NOW, dry_run=dry_run)


def listing(place: Path) -> dict[str, tuple[int, bytes | str]]:
    """Everything below, with its kind and mode and what it holds."""
    found: dict[str, tuple[int, bytes | str]] = {}
    for folder, folders, files in os.walk(place):
        for name in (*folders, *files):
            path = Path(folder, name)
            mode = path.lstat().st_mode
            held: bytes | str = ""
            if stat.S_ISLNK(mode):
                held = os.readlink(path)
            elif stat.S_ISREG(mode):
                held = path.read_bytes()
            found[str(path.relative_to(place))] = (mode, held)
    return found


@pytest.mark.parametrize(
    ("keep", "older_than_days", "ages_left"),
    [
        (2, None, [1, 2]),
        (0, None, []),
        (9, None, [1, 2, 30, 31, 400]),
        (None, 30, [1, 2, 30]),
        (None, 0, []),
        (1, 30, [1, 2, 30]),
        (4, 30, [1, 2, 30, 31]),
        (4, 1, [1, 2, 30, 31]),
        (0, 300, [1, 2, 30, 31]),
    ],
)
def test_a_result_goes_when_neither_number_nor_age_keeps_it(results, keep, older_than_days, ages_left):
    paths = {age: write_result(results, age) for age in (31, 2, 400, 1, 30)}
    cleaning = clean(
        results, keep=keep, older_than_s=None if older_than_days is None else older_than_days * DAY_S
    )
    assert sorted(age for age, path in paths.items() if path.exists()) == ages_left
    assert len(cleaning.removed) == 5 - len(ages_left)
    assert cleaning.kept == len(ages_left)
    assert cleaning.refused == []


def test_of_one_second_the_later_number_is_the_newer(results):
    paths = [write_result(results, 1, number=number) for number in (1, 2, 10, 9)]
    clean(results, keep=2)
    assert [path.exists() for path in paths] == [False, False, True, True]


def test_what_a_real_run_leaves_is_a_result_whole(tmp_path):
    results = tmp_path / "results"
    logger = ResultsLogger(results)
    document = suite_result()
    started = datetime.fromisoformat(document.timestamp)
    logger.open_run(started)
    Path(logger.sample_paths(1).whole).write_bytes(b"rows")
    saved = logger.save(document, {"suite.yaml": "a"})
    size = sum(entry.stat().st_size for entry in saved.iterdir())
    cleaning = clean(results, keep=0)
    assert [(result.name, result.size_bytes) for result in cleaning.removed] == [(saved.name, size)]
    assert list(results.iterdir()) == []


def test_a_dry_run_removes_nothing_and_says_the_same(results):
    for age in range(4):
        write_result(results, age)
    (results / "latest").symlink_to((NOW).strftime("%Y-%m-%dT%H-%M-%SZ"))
    before = listing(results)
    would = clean(results, keep=1, dry_run=True)
    assert listing(results) == before
    assert clean(results, keep=1).removed == would.removed
    assert would.kept == 1


NOT_RESULTS = {
    "no results.json": lambda path: (path / "results.json").unlink(),
    "no JSON": lambda path: (path / "results.json").write_text("{"),
    "a list": lambda path: (path / "results.json").write_text("[1]"),
    "no schema_version": lambda path: (path / "results.json").write_text(
        '{"timestamp": "2026-11-12T10:00:00Z"}'
    ),
    "a schema_version that is no number": lambda path: (path / "results.json").write_text(
        '{"schema_version": true, "timestamp": "2026-11-12T10:00:00Z"}'
    ),
    "another start": lambda path: (path / "results.json").write_text(
        '{"schema_version": 1, "timestamp": "2026-11-12T10:00:01Z"}'
    ),
    "no start": lambda path: (path / "results.json").write_text('{"schema_version": 1, "timestamp": 7}'),
    "another name": lambda path: path.rename(path.with_name("baseline")),
    "a name with more": lambda path: path.rename(path.with_name(f"{path.name}-good")),
    "a first suffix": lambda path: path.rename(path.with_name(f"{path.name}-1")),
    "a name with a line break": lambda path: path.rename(path.with_name(f"{path.name}\n")),
    "results.json a directory": lambda path: (
        (path / "results.json").unlink(),
        (path / "results.json").mkdir(),
    ),
    "results.json a pipe": lambda path: (
        (path / "results.json").unlink(),
        os.mkfifo(path / "results.json"),
    ),
    "results.json a link": lambda path: (
        (path / "results.json").rename(path.parent / "elsewhere.json"),
        (path / "results.json").symlink_to("../elsewhere.json"),
    ),
}


@pytest.mark.parametrize("kind", NOT_RESULTS)
def test_a_directory_that_is_no_result_is_not_touched(results, kind):
    NOT_RESULTS[kind](write_result(results, 10))
    before = listing(results)
    cleaning = clean(results, keep=0)
    assert listing(results) == before
    assert (cleaning.removed, cleaning.kept, cleaning.refused) == ([], 0, [])


def test_a_name_that_is_no_date_is_no_result(results):
    path = write_result(results, 10)
    (path / "results.json").write_text('{"schema_version": 1, "timestamp": "2026-13-45T99:00:00Z"}')
    path.rename(results / "2026-13-45T99-00-00Z")
    assert clean(results, keep=0).removed == []
    assert (results / "2026-13-45T99-00-00Z" / "suite.yaml").exists()


def test_a_result_of_a_later_version_is_a_result(results):
    path = write_result(results, 10, schema_version=9, more="")
    clean(results, keep=0)
    assert not path.exists()


@pytest.mark.parametrize("kind", ["file", "directory", "link", "results.json below"])
def test_a_result_with_anything_of_the_users_is_kept_and_told(results, kind):
    path = write_result(results, 10)
    if kind == "file":
        (path / "notes.txt").write_text("mine")
    elif kind == "directory":
        (path / "notes.txt").mkdir()
    elif kind == "link":
        (path / "notes.txt").symlink_to("/etc/hostname")
    else:
        (path / "notes.txt").mkdir()
        (path / "notes.txt" / "results.json").write_text("{}")
    before = listing(results)
    cleaning = clean(results, keep=0)
    assert listing(results) == before
    assert [(result.name, result.foreign) for result in cleaning.guarded] == [(path.name, ("notes.txt",))]
    assert (cleaning.removed, cleaning.kept) == ([], 1)


def test_a_perfcore_name_that_is_no_plain_file_is_the_users(results, tmp_path):
    (tmp_path / "precious").write_text("mine")
    path = write_result(results, 10)
    (path / "suite.yaml").unlink()
    (path / "suite.yaml").symlink_to(tmp_path / "precious")
    assert [result.foreign for result in clean(results, keep=0).guarded] == [("suite.yaml",)]
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_link_with_the_name_of_a_result_is_not_followed(results, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    real = write_result(elsewhere, 10)
    (results / real.name).symlink_to(real)
    assert clean(results, keep=0).removed == []
    assert (real / "results.json").exists()
    assert (results / real.name).is_symlink()


def test_latest_follows_to_the_newest_that_is_left(results):
    old, older = write_result(results, 40), write_result(results, 50)
    (results / "latest").symlink_to(older.name)
    clean(results, keep=1)
    assert os.readlink(results / "latest") == old.name
    assert {entry.name for entry in old.iterdir()} == {"results.json", "suite.yaml"}


def test_latest_goes_with_the_last_result(results):
    (results / "latest").symlink_to(write_result(results, 40).name)
    clean(results, older_than_s=DAY_S)
    assert list(results.iterdir()) == []


@pytest.mark.parametrize("kind", ["still there", "elsewhere", "directory", "nowhere"])
def test_latest_is_left_alone_unless_its_target_was_removed(results, kind):
    newest, _ = write_result(results, 1), write_result(results, 40)
    link = results / "latest"
    if kind == "directory":
        link.mkdir()
    else:
        link.symlink_to({"still there": newest.name, "elsewhere": "../x", "nowhere": "gone"}[kind])
    before = link.lstat()
    clean(results, keep=1)
    assert link.lstat().st_ino == before.st_ino


def test_a_result_that_is_being_saved_is_kept(results):
    path = write_result(results, 10)
    holder = os.open(path, os.O_RDONLY)
    try:
        assert lock(holder)
        assert clean(results, keep=0).removed == []
        assert (path / "results.json").exists()
    finally:
        os.close(holder)
    assert len(clean(results, keep=0).removed) == 1


def test_a_cleaning_that_is_killed_leaves_no_half_result(results):
    write_result(results, 10)
    program = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from perfcore.report.results_cleaner import clean_results
real = os.unlink
def killed(*args, **keys):
    real(*args, **keys)
    os.kill(os.getpid(), signal.SIGKILL)
os.unlink = killed
clean_results(Path(sys.argv[1]), keep=0, older_than_s=None, now=datetime.now(UTC))
"""
    done = subprocess.run([sys.executable, "-c", program, results], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = results.iterdir()
    assert left.name.startswith(".")
    clean(results, keep=5)
    assert list(results.iterdir()) == []


def test_what_cannot_be_removed_is_told_and_stays_a_result(results, monkeypatch):
    first, second = write_result(results, 10), write_result(results, 11)
    real = os.unlink

    def refuses(name, **keys):
        if os.readlink(f"/proc/self/fd/{keys['dir_fd']}").find(os.fspath(results)) == 0 and not refused:
            refused.append(name)
            raise OSError(5, os.strerror(5))
        real(name, **keys)

    refused: list[str] = []
    monkeypatch.setattr(os, "unlink", refuses)
    cleaning = clean(results, keep=0)
    assert cleaning.refused == [(first.name, "Input/output error")]
    assert [result.name for result in cleaning.removed] == [second.name]
    assert {entry.name for entry in first.iterdir()} == {"results.json", "suite.yaml"}
    assert [entry.name for entry in results.iterdir()] == [first.name]


def test_a_result_that_its_owner_protected_is_told_and_kept(results, monkeypatch):
    path = write_result(results, 10)
    monkeypatch.setattr(results_cleaner.os, "access", lambda *_args, **_keys: False)  # root may everything
    cleaning = clean(results, keep=0)
    assert cleaning.refused == [(path.name, "its files cannot be removed: Permission denied")]
    assert (path / "results.json").exists()


def test_files_that_come_while_it_looks_are_seen(results, monkeypatch):
    path = write_result(results, 10)
    real = results_cleaner.outdated

    def slow(*args, **keys):
        (path / "notes.txt").write_text("mine")
        return real(*args, **keys)

    monkeypatch.setattr(results_cleaner, "outdated", slow)
    cleaning = clean(results, keep=0)
    assert [result.foreign for result in cleaning.guarded] == [("notes.txt",)]
    assert (path / "notes.txt").read_text() == "mine"


AGES = st.lists(
    st.tuples(st.integers(-5, 60), st.integers(1, 3)), min_size=0, max_size=12, unique=True
)  # days, number


@given(
    ages=AGES,
    keep=st.none() | st.integers(0, 14),
    older_than_days=st.none() | st.integers(0, 60),
    seed=st.randoms(),
)
def test_what_is_outdated_is_what_a_second_reckoning_finds(ages, keep, older_than_days, seed):
    stored = [
        StoredResult(f"{days}-{number}", NOW - timedelta(days=days), number, 1) for days, number in ages
    ]
    seed.shuffle(stored)
    found = outdated(
        stored,
        keep=keep,
        older_than_s=None if older_than_days is None else older_than_days * DAY_S,
        now=NOW,
    )
    expected = set()
    for days, number in ages:
        newer = sum((-other, n) > (-days, number) for other, n in ages)
        is_beyond = keep is None or newer >= keep
        is_old = older_than_days is None or days > older_than_days
        if is_beyond and is_old:
            expected.add(f"{days}-{number}")
    assert {result.name for result in found} == expected


ENTRIES = st.lists(
    st.tuples(
        st.sampled_from(["result", "noted", *NOT_RESULTS, "file", "folder", "link"]), st.integers(0, 30)
    ),
    max_size=10,
    unique_by=lambda entry: entry[1],
)


def plant(results: Path, outside: Path, kind: str, age: int) -> Path | None:
    """One entry of the kind; returns the result that may go, None for everything else."""
    if kind == "file":
        (results / f"file-{age}").write_text("mine")
    elif kind == "folder":
        (results / f"folder-{age}" / "results").mkdir(parents=True)
        write_result(results / f"folder-{age}" / "results", age)
    elif kind == "link":
        (results / f"link-{age}").symlink_to(write_result(outside, age))
    elif kind == "noted":
        (write_result(results, age) / f"notes-{age}.txt").write_text("mine")
    elif kind in NOT_RESULTS:
        if not kind.startswith(("results.json a link", "another name")):
            NOT_RESULTS[kind](write_result(results, age))
    else:
        return write_result(results, age)
    return None


@settings(max_examples=60, deadline=None)
@given(entries=ENTRIES, keep=st.integers(0, 5), older_than_days=st.integers(0, 30), has_latest=st.booleans())
def test_of_any_tree_only_old_results_go(entries, keep, older_than_days, has_latest):
    place = Path(tempfile.mkdtemp())
    try:
        results, outside = place / "results", place / "outside"
        results.mkdir()
        outside.mkdir()
        planted = {age: (kind, plant(results, outside, kind, age)) for kind, age in entries}
        ages = sorted(age for age, (kind, _) in planted.items() if kind in ("result", "noted"))
        if has_latest and ages:
            (results / "latest").symlink_to((NOW - timedelta(days=ages[0])).strftime("%Y-%m-%dT%H-%M-%SZ"))
        going = {
            path.name
            for place_, age in enumerate(ages)
            if place_ >= keep and age > older_than_days and (path := planted[age][1]) is not None
        }
        before = listing(place)
        clean(results, keep=keep, older_than_s=older_than_days * DAY_S)
        after = listing(place)
        expected = {
            name: held
            for name, held in before.items()
            if not (name.startswith("results/") and name.split("/")[1] in going) and name != "results/latest"
        }
        latest = after.pop("results/latest", None)
        assert after == expected
        # It may only point to a result that is there, and is there as long as one is that it could point to.
        if latest is not None:
            assert f"results/{latest[1]}" in after
        elif has_latest and ages:
            assert len(going) == len(ages)
    finally:
        shutil.rmtree(place)
