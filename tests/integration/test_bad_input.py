"""Bad input as the command meets it: a line with the place, exit code 104, no traceback, nothing sent, no wait."""

import os
from pathlib import Path

import pytest
from integration.runs import (
    COMMAND,
    ROOT,
    Run,
    changed_perfcore,
    completed,
    one_test,
    run,
    shell,
    write_suite,
)

from perfcore.cli.main import main
from perfcore.errors import ExitCode

TOUR = ROOT / "config" / "test_config.yaml"


def perfcore(*arguments: str, cwd: Path = ROOT, stdin: str = "") -> Run:
    return completed(cwd, [*COMMAND, *arguments], typed=stdin)


WRONG_FILES = {
    "empty": b"",
    "binary": bytes(range(256)) * 100,
    "elf": b"\x7fELF" + b"\0" * 5000,
    "large": b"x" * 50_000_000,
    "latin-1": "test_suite: {name: Müller}".encode("latin-1"),
    "utf-16": "test_suite: {name: S}".encode("utf-16"),
    "cut": TOUR.read_bytes()[:400],
    "json": b'{"test_suite": {"name": "S", "tests": [{"name": "A", "endpoint": "/"}]}}',
    "terminal": b'test_suite: {name: "\\e[2J", "\\e]0;title\\a": 1}',
    "laughs": b"a: &a [x, x]\n"
    + b"".join(b"%c: &%c [*%c, *%c]\n" % (n, n, n - 1, n - 1) for n in range(98, 123)),
    "nested": b"test_suite: " + b"[" * 100_000,
    "tags": b"test_suite: !!python/object/apply:os.system ['touch called']",
    "circle": b"test_suite: {name: '${A}', variables: {A: '${B}', B: '${A}'}, tests: []}",
    "files": b"test_suite: {name: '${file:/dev/zero}', tests: [{name: A, endpoint: '${file:pipe}'}]}",
}


@pytest.mark.parametrize("name", WRONG_FILES)
def test_a_wrong_file_is_told_and_nothing_is_done(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "suite.yaml").write_bytes(WRONG_FILES[name])
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.iterdir())

    done = perfcore("suite.yaml", cwd=tmp_path)
    monkeypatch.chdir(tmp_path)
    validated = main(["validate", "suite.yaml"]), *capsys.readouterr()

    for code, stdout, stderr in ((done.code, done.stdout, done.stderr), validated):
        assert (code, stdout) == (ExitCode.WRONG_SUITE, "")
        lines = stderr.splitlines()
        assert 1 <= len(lines) <= 101
        assert all(line.startswith("suite.yaml:") and line.isprintable() for line in lines), lines
    assert sorted(tmp_path.iterdir()) == before


def test_a_suite_from_standard_input_that_is_too_large_is_told() -> None:
    done = perfcore("-", stdin="x" * 10_000_000)

    assert (done.code, done.stderr) == (104, "stdin: is larger than 5 MB; that is no suite file\n")


def test_a_suite_may_come_from_a_process_of_the_shell() -> None:
    done = shell(
        ROOT,
        '"$@" validate <(cat config/test_config.yaml) && "$@" --dry-run <(cat config/test_config.yaml)',
        *COMMAND,
    )

    assert (done.code, done.stderr) == (0, "")
    assert ": right, 6 tests\n" in done.stdout
    assert "perfcore tour" in done.stdout


def test_a_process_of_the_shell_that_writes_no_end_is_told() -> None:
    done = shell(ROOT, 'exec "$@" validate <(exec cat /dev/zero)', *COMMAND)

    assert done.code == 104
    assert done.stderr.endswith(": is larger than 5 MB; that is no suite file\n")


# What it waits for somebody who writes to a pipe.
IMPATIENT = changed_perfcore(
    "from perfcore.suite import suite_source; suite_source.LONGEST_WITHOUT_WRITER_S = 0.3"
)


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (".", ".: is a directory, not a suite file"),
        ("/dev/zero", "/dev/zero: is a device, not a suite file; - is standard input"),
        ("pipe", "pipe: is a pipe that nobody writes to"),
        ("nowhere/suite.yaml", "nowhere/suite.yaml: cannot be read: No such file or directory"),
    ],
)
def test_what_is_no_file_is_told_and_not_waited_for(place: str, told: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    done = completed(tmp_path, [*IMPATIENT, place])

    assert (done.code, done.stdout, done.stderr) == (104, "", f"{told}\n")


def test_a_pattern_that_takes_too_long_on_a_body_fails_the_request_and_holds_up_nothing(
    tmp_path: Path, target
) -> None:
    letters = "a" * 5000
    suite = one_test(
        target.url, endpoint="/echo", method="POST", body=letters, expect="{body_matches: '(a|aa)+c'}"
    )

    done = run(tmp_path, suite, "--procs", "1")

    assert done.code == ExitCode.THRESHOLD_BROKEN
    assert done.test("test")["errors"] == {"expectation:body": 1}
    assert "body_matches '(a|aa)+c': the pattern took longer than 1 s on this body" in done.stdout


def test_what_loads_is_what_runs_when_a_variable_holds_a_bomb(tmp_path: Path) -> None:
    variables = "".join(f"    A{n}: ['${{A{n + 1}}}', '${{A{n + 1}}}', '${{A{n + 1}}}']\n" for n in range(30))
    text = f"test_suite:\n  name: S\n  base_url: http://127.0.0.1:9\n  variables:\n{variables}    A30: x\n"
    path = write_suite(tmp_path, f"{text}  tests: [{{name: A, endpoint: /, json: '${{A0}}'}}]\n")

    done = perfcore(str(path), cwd=tmp_path)

    assert done.code == 104
    assert done.stderr.startswith(f"{path}:5:5: variables.A0: becomes larger than 10 MB with its variables\n")
