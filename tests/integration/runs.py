"""Whole runs as processes, and what must be true of every result."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from forked_perfcore import SERVER
from target_process import TargetProcess
from waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
COMMAND = [sys.executable, "-m", "perfcore"]
TRANSPORT_ERRORS = frozenset(
    {
        "dns", "refused", "unreachable", "connect_timeout", "tls", "reset", "closed", "timeout", "truncated",
        "bad_response", "too_many_redirects",
    }
)  # fmt: skip
# A request that failed so was never sent, or may not have been.
UNSENT_ERRORS = frozenset({"dns", "refused", "unreachable", "connect_timeout", "tls"})
TIMEOUT_S = 60
both_engines = pytest.mark.parametrize("engine", ["wire", "transfer"])


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PERFCORE_")}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def write_suite(folder: Path, text: str, name: str = "suite.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def suite_of(url, *tests, **keys):
    """A suite of tests of which each is a YAML mapping without its braces, and other keys of it, YAML as they stand."""
    head = [f"  {key}: {value}" for key, value in {"name": "suite", "base_url": url, **keys}.items()]
    return "\n".join(("test_suite:", *head, "  tests:", *(f"    - {{{test}}}" for test in tests), ""))


def one_test(url, **keys):
    """A suite of one test, whose keys are YAML as they stand."""
    lines = "\n".join(f"      {key}: {value}" for key, value in keys.items())
    return f"test_suite:\n  name: suite\n  base_url: {url}\n  tests:\n    - name: test\n{lines}\n"


def saved_document(folder: Path) -> dict[str, Any]:
    """The newest result below the folder's `results`."""
    document: dict[str, Any] = json.loads((folder / "results" / "latest" / "results.json").read_text())
    return document


class Run:
    """A process that has ended: its streams, its exit code, and what it saved where it ran perfcore."""

    def __init__(self, code: int, stdout: str, stderr: str, folder: Path) -> None:
        self.code = code
        self.stdout = stdout
        self.stderr = stderr
        self.folder = folder
        self.results_dir = folder / "results"

    @property
    def document(self) -> dict[str, Any]:
        return saved_document(self.folder)

    def test(self, key: str) -> dict[str, Any]:
        test: dict[str, Any] = self.document["results"][key]
        return test

    def samples(self) -> Any:
        """The rows of samples.npy."""
        import numpy  # not above: programs of the tests import this file, and numpy starts threads

        return numpy.load(self.results_dir / "latest" / "samples.npy", mmap_mode="r")


def python(program: str, *arguments: str) -> list[str]:
    """The command of a fresh interpreter with this program, as a user's script is."""
    return [sys.executable, "-c", program, *arguments]


def changed_perfcore(change: str, *arguments: str) -> list[str]:
    """The command perfcore after these statements, which find the arguments from `sys.argv[1]` on and pop them."""
    begin = "import sys\nfrom perfcore.cli.main import main\nsys.exit(main(sys.argv[1:]))\n"
    return python(f"{change}\n{begin}", *arguments)


@contextmanager
def process_of(
    folder: Path, command: Sequence[str], env: Mapping[str, str] | None = None, **how: Any
) -> "Iterator[subprocess.Popen[Any]]":
    """The command under way in this folder, started as `how` says; whatever happens in the block, it ends there."""
    streams = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    settings = {"stdin": subprocess.DEVNULL, **streams, "text": True, **how}
    process = subprocess.Popen(command, cwd=folder, env=environment(**(env or {})), **settings)
    try:
        yield process
    finally:
        process.kill()
        process.wait(TIMEOUT_S)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()


def ended(process: "subprocess.Popen[str]", folder: Path, typed: str | None = None) -> Run:
    stdout, stderr = process.communicate(typed, timeout=TIMEOUT_S)
    return Run(process.returncode, stdout, stderr, folder)


def completed(
    folder: Path,
    command: Sequence[str],
    env: Mapping[str, str] | None = None,
    typed: str | None = None,
    **how: Any,
) -> Run:
    """The end of a command, which finds `typed` on its stdin."""
    stdin = subprocess.DEVNULL if typed is None else subprocess.PIPE
    with process_of(folder, command, env, stdin=stdin, **how) as process:
        return ended(process, folder, typed)


def run_python(folder: Path, program: str, *arguments: str) -> Run:
    """The end of a user's script, which has to go well."""
    done = completed(folder, python(program, *arguments))
    assert done.code == 0, done.stderr
    return done


def shell(folder: Path, script: str, *arguments: str) -> Run:
    """What bash makes of this script, in which the arguments are `$@`."""
    return completed(folder, ["bash", "-c", script, "bash", *arguments])


@contextmanager
def started(
    folder: Path,
    suite: str | Path,
    *arguments: str,
    command: Sequence[str] = COMMAND,
    preexec_fn: Callable[[], object] | None = None,
    **env: str,
) -> "Iterator[subprocess.Popen[str]]":
    """A run under way, of perfcore or of what stands in its place; nothing of it survives the block."""
    if not isinstance(suite, Path):
        suite = write_suite(folder, suite)
    words = [*command, str(suite), "--results-dir", str(folder / "results"), *arguments]
    with process_of(folder, words, env, preexec_fn=preexec_fn) as process:
        yield process


def run(folder: Path, suite: str | Path, *arguments: str, **how: Any) -> Run:
    """As `started`, to its end; forked from a process that has imported perfcore, if nothing speaks against it."""
    if not how.keys() & {"command", "preexec_fn"}:
        if not isinstance(suite, Path):
            suite = write_suite(folder, suite)
        words = [str(suite), "--results-dir", str(folder / "results"), *arguments]
        done = SERVER.run(words, folder, environment(**how), "", TIMEOUT_S)
        if done is not None:
            return Run(*done, folder)
    with started(folder, suite, *arguments, **how) as process:
        return ended(process, folder)


def children(pid: int) -> list[int]:
    """Processes whose parent this is."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return sorted(found)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def under_load(target: TargetProcess, requests: int = 500) -> None:
    """Wait until the target has counted so many requests."""
    target.wait_for_requests(requests)


def workers_of(process: "subprocess.Popen[str]", count: int) -> list[int]:
    """The worker processes of a run on a server of somebody else's, once all of them are there."""
    wait_until(lambda: len(children(process.pid)) >= count, f"{count} workers")
    return children(process.pid)


def interrupt(process: "subprocess.Popen[str]", number: int = signal.SIGINT) -> None:
    os.kill(process.pid, number)


def assert_numbers_add_up(test: Mapping[str, Any]) -> None:
    """The arithmetic that result-format.md promises for every test."""
    total = test["total_requests"]
    assert total == test["successful_requests"] + test["failed_requests"]
    assert test["failed_requests"] == sum(test["errors"].values())
    transport = sum(count for kind, count in test["errors"].items() if kind in TRANSPORT_ERRORS)
    assert total == sum(test["status_codes"].values()) + transport
    unsent = sum(count for kind, count in test["errors"].items() if kind in UNSENT_ERRORS)
    assert test["attempts"] >= total - unsent
    timeouts = test["errors"].get("timeout", 0) + test["errors"].get("connect_timeout", 0)
    broke_time = test["errors"].get("expectation:max_time", 0)
    assert test["timing"]["censored"] == timeouts
    assert test["timing"]["count"] == test["successful_requests"] + timeouts + broke_time
    assert test["service_time"]["count"] == test["timing"]["count"]
    assert test["timing_failed"]["count"] == total - test["timing"]["count"]
    assert sum(test["histogram"]["count"]) == test["timing"]["count"]
    assert sum(test["timeline"]["requests"]) == total
    assert sum(test["timeline"]["failures"]) == test["failed_requests"]
    percentiles = [value for value in test["timing"]["percentiles"].values() if value is not None]
    assert percentiles == sorted(percentiles)
    if percentiles:
        assert test["timing"]["min_ms"] <= percentiles[0]
        assert percentiles[-1] <= test["timing"]["max_ms"]
