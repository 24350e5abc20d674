"""`perfcore clean` as a process."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from perfcore_command import complaint, perfcore

NOW = datetime.now(UTC)


def write_result(results: Path, days: float) -> Path:
    started = NOW - timedelta(days=days)
    path = results / started.strftime("%Y-%m-%dT%H-%M-%SZ")
    path.mkdir(parents=True)
    timestamp = started.strftime("%Y-%m-%dT%H:%M:%SZ")
    (path / "results.json").write_text(json.dumps({"schema_version": 1, "timestamp": timestamp}))
    (path / "suite.yaml").write_bytes(b"x" * 1024)
    return path


def test_old_results_go_and_the_number_and_size_are_told(tmp_path):
    new, old = write_result(tmp_path / "results", 1), write_result(tmp_path / "results", 40)
    size = sum(file.stat().st_size for file in old.iterdir())

    done = perfcore("clean", "--older-than", "30d", cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"removed 1 result, {size / 1024:.3g} KiB; 1 kept\n"
    assert list((tmp_path / "results").iterdir()) == [new]


def test_a_dry_run_lists_and_removes_nothing(tmp_path):
    paths = [write_result(tmp_path / "there", days) for days in (1, 40, 50)]

    done = perfcore("clean", "--keep", "1", "--results-dir", "there", "--dry-run", cwd=tmp_path)

    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert [line.split("  ")[0] for line in lines[:2]] == [
        f"would remove there/{path.name}" for path in paths[1:]
    ]
    assert lines[2].startswith("would remove 2 results, ")
    assert lines[2].endswith("; 1 kept")
    assert all((path / "results.json").exists() for path in paths)


def test_twins_say_the_same(tmp_path):
    write_result(tmp_path / "there", 40)
    twins = {"PERFCORE_KEEP": "0", "PERFCORE_OLDER_THAN": "30d", "PERFCORE_RESULTS_DIR": "there"}

    assert "would remove 1 result" in perfcore("clean", cwd=tmp_path, PERFCORE_DRY_RUN="1", **twins).stdout
    assert "removed 1 result" in perfcore("clean", cwd=tmp_path, **twins).stdout


def test_without_a_rule_nothing_is_old(tmp_path):
    path = write_result(tmp_path / "results", 4000)

    line = complaint(perfcore("clean", cwd=tmp_path))

    assert line.startswith("perfcore: which results are old? --keep N keeps the N newest, --older-than AGE")
    assert path.exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--keep", "-1"], "argument --keep: '-1' is not a number of results; give a whole number from 0"),
        (["--keep", "all"], "'all' is not a number of results"),
        (["--keep", "9" * 5000], "is not a number of results"),
        (["--older-than", "30"], "'30' is not an age; give a number and its unit: 30d, 12h or 1d12h"),
        (["--older-than", "a month"], "'a month' is not an age"),
        (["--older-than=-3d"], "'-3d' is not an age"),
        (["--keep", "1", "results"], "unrecognized arguments: "),
        (["--keep", "1", "--results-dir", "nowhere"], "nowhere: there is no such directory"),
        (["--keep", "1", "--results-dir", "file"], "file: is not a directory; --results-dir names another"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_removes_nothing(tmp_path, arguments, reason):
    path = write_result(tmp_path / "results", 4000)
    (tmp_path / "file").write_text("mine")

    assert reason in complaint(perfcore("clean", *arguments, cwd=tmp_path))
    assert path.exists()


def test_a_twin_is_held_to_the_same(tmp_path):
    line = complaint(perfcore("clean", cwd=tmp_path, PERFCORE_KEEP="9" * 5000))
    assert line.startswith("perfcore: PERFCORE_KEEP: '999")


def test_where_no_run_was_kept_yet_there_is_nothing_to_do(tmp_path):
    done = perfcore("clean", "--keep", "3", cwd=tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (0, "removed 0 results, 0 B; 0 kept\n", "")
    assert list(tmp_path.iterdir()) == []


def test_what_is_kept_for_the_users_files_is_told_and_no_failure(tmp_path):
    path = write_result(tmp_path / "results", 40)
    for name in ("notes.txt", "a.png", "b.png", "c.png"):
        (path / name).write_text("mine")

    done = perfcore("clean", "--keep", "0", cwd=tmp_path)

    assert done.returncode == 0
    assert done.stdout == "removed 0 results, 0 B; 1 kept\n"
    assert done.stderr == (
        f"perfcore: results/{path.name}: holds a.png, b.png, c.png and 1 more, not perfcore's own, so it was kept\n"
    )


def test_what_could_not_be_removed_is_told_with_exit_code_106(tmp_path):
    path = write_result(tmp_path / "results", 40)
    other = write_result(tmp_path / "results", 41)
    (tmp_path / "sitecustomize.py").write_text(
        "import errno, os\n"
        "real = os.rename\n"
        "def refuses(source, *args, **keys):\n"
        f"    if source == {path.name!r}:\n"
        "        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))\n"
        "    return real(source, *args, **keys)\n"
        "os.rename = refuses\n"
    )
    python_path = os.pathsep.join([str(tmp_path), str(Path(__file__).resolve().parent.parent.parent)])

    done = perfcore("clean", "--keep", "0", cwd=tmp_path, PYTHONPATH=python_path)

    assert done.returncode == 106
    assert done.stdout.startswith("removed 1 result, ")
    assert done.stderr == f"perfcore: results/{path.name}: Permission denied: left as it is\n"
    assert path.exists()
    assert not other.exists()
