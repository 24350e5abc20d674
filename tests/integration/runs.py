"""Whole runs as processes, and what must be true of every result."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PERFCORE_")}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def write_suite(folder: Path, text: str, name: str = "suite.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def one_test(url, **keys):
    """A suite of one test, whose keys are YAML as they stand."""
    lines = "\n".join(f"      {key}: {value}" for key, value in keys.items())
    return f"test_suite:\n  name: suite\n  base_url: {url}\n  tests:\n    - name: test\n{lines}\n"


class Run:
    """A run that has ended: its streams, its exit code, its result."""

    def __init__(self, code: int, stdout: str, stderr: str, folder: Path) -> None:
        self.code = code
        self.stdout = stdout
        self.stderr = stderr
        self.results_dir = folder / "results"

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.results_dir / "latest" / "results.json").read_text())
        return document

    def test(self, key: str) -> dict[str, Any]:
        test: dict[str, Any] = self.document["results"][key]
        return test


@contextmanager
def started(
    folder: Path, suite: str | Path, *arguments: str, **env: str
) -> "Iterator[subprocess.Popen[str]]":
    """A run under way; whatever happens in the block, nothing of it survives."""
    if not isinstance(suite, Path):
        suite = write_suite(folder, suite)
    process = subprocess.Popen(
        [*COMMAND, str(suite), "--results-dir", str(folder / "results"), *arguments],
        cwd=folder,
        env=environment(**env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(TIMEOUT_S)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def ended(process: "subprocess.Popen[str]", folder: Path) -> Run:
    stdout, stderr = process.communicate(timeout=TIMEOUT_S)
    return Run(process.returncode, stdout, stderr, folder)


def run(folder: Path, suite: str | Path, *arguments: str, **env: str) -> Run:
    with started(folder, suite, *arguments, **env) as process:
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


def wait_until(condition: Any, what: str, seconds: float = 20.0) -> Any:
    """The condition's first true value; fails after so long."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)
    return value


def under_load(target: Any, requests: int = 500) -> None:
    """Wait until the target has counted so many requests."""
    wait_until(lambda: target.stats()["requests"] >= requests, f"{requests} requests")


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
