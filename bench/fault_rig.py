"""What a fault run needs: a target that counts, a run that can be hurt, and a look for what was left behind."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from perfcore.report.results_logger import ResultsLogger

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = 90.0
# In two blocks a worker finds no room soon, and counts by itself what the supervisor does not fetch.
_SMALL_RINGS = (
    "import sys, perfcore.metrics.samples as samples\n"
    "samples.SampleRing.__init__.__defaults__ = (2,)\n"
    "from perfcore.cli.main import main\n"
    "sys.exit(main(sys.argv[1:]))\n"
)


class DisagreementError(Exception):
    """Something was not as it has to be; the text says what."""


def demand(condition: object, text: str) -> None:
    if not condition:
        raise DisagreementError(text)


def wait_until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        demand(time.monotonic() < deadline, f"not within {seconds:g} s: {what}")
        time.sleep(0.01)


class Target:
    """The embedded server as a process that can be killed and started again on the same port."""

    def __init__(self) -> None:
        self.port = 0
        self._process: subprocess.Popen[str] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "perfcore.target", "--port", str(self.port)]
        self._process = subprocess.Popen(
            [*command, "--exit-with-parent", "--quiet"], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        demand(line.startswith("listening on "), f"the target did not start: {line!r}")
        self.port = int(line.rpartition(":")[2])

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None

    def ask(self, method: str, path: str) -> dict[str, Any]:
        request = urllib.request.Request(f"{self.url}{path}", method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            told: dict[str, Any] = json.load(answer)
        return told

    def requests(self) -> int:
        return int(self.ask("GET", "/stats")["requests"])

    def final_stats(self) -> dict[str, Any]:
        """The counters once nobody is connected any more and nothing is counted any more."""
        wait_until(
            lambda: not self.ask("GET", "/stats")["open_connections"], "the connections to the target close"
        )
        return self.settled_stats()

    def settled_stats(self) -> dict[str, Any]:
        """The counters once they stand still."""
        seen = self.ask("GET", "/stats")
        while True:
            time.sleep(0.02)  # for what is on its way at this moment
            now = self.ask("GET", "/stats")
            if now == seen:
                return now
            seen = now


@dataclass
class Run:
    """perfcore as a process, in a directory of its own. `marker` is how every process of it is known."""

    process: "subprocess.Popen[bytes]"
    folder: Path
    marker: str
    shared_memory_before: set[str]
    seen_pids: set[int] = field(default_factory=set)

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def family(self) -> list[int]:
        """Every living process of the run but the supervisor."""
        return [pid for pid in _processes_with(self.marker) if pid != self.process.pid]

    def workers(self) -> list[int]:
        """The worker processes that live now, as far as they have their name already."""
        return [pid for pid in self.family() if "perfcore.target" not in _command_line(pid)]

    def embedded_target(self) -> list[int]:
        return [pid for pid in self.family() if "perfcore.target" in _command_line(pid)]

    def send(self, number: int) -> None:
        """To the supervisor; nothing if it has ended."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def end(self) -> int:
        """Wait for the end of the run; returns its exit code."""
        try:
            return self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise DisagreementError(f"the run has not ended within {PATIENCE_S:g} s") from None

    def text(self, name: str) -> str:
        return (self.folder / name).read_text(errors="replace")

    def document(self) -> dict[str, Any] | None:
        """The result that was saved; None without one."""
        try:
            text = (self.results / "latest" / "results.json").read_text()
        except FileNotFoundError:
            return None
        document: dict[str, Any] = json.loads(text)
        return document

    def demand_nothing_left(self) -> None:
        """No process, nothing in /dev/shm, no socket with a name, no temporary file, nothing half saved."""
        wait_until(lambda: not _processes_with(self.marker), f"{self._names()} end with the supervisor", 1.0)
        left = [
            name
            for name in _shared_memory() - self.shared_memory_before
            if not _is_in_use(f"/dev/shm/{name}")
        ]
        demand(not left, f"left in /dev/shm: {left}")
        temporary = list((self.folder / "tmp").iterdir())
        demand(not temporary, f"left in TMPDIR: {temporary}")
        sockets = [
            line for line in Path("/proc/net/unix").read_text().splitlines() if str(self.folder) in line
        ]
        demand(not sockets, f"sockets left: {sockets}")
        if self._half_results():
            # Killed in the moment of saving, when the result has a name that is not its own yet; the next run
            # removes it.
            logger = ResultsLogger(self.results)
            logger.open_run(datetime.now(UTC))
            logger.discard()
        demand(not self._half_results(), f"left in results: {self._half_results()}")

    def _half_results(self) -> list[str]:
        return [path.name for path in self.results.glob("*") if path.name.startswith(".")]

    def _names(self) -> str:
        return ", ".join(f"process {pid}" for pid in _processes_with(self.marker)) or "all processes"


@contextmanager
def running(
    folder: Path, suite: str, *arguments: str, small_rings: bool = False, env: Mapping[str, str] | None = None
) -> Iterator[Run]:
    """A run of this suite; whatever happens in the block, nothing of it goes on."""
    folder.mkdir()
    (folder / "tmp").mkdir()
    (folder / "suite.yaml").write_text(suite)
    # The target of `embedded` gets TMPDIR too, and no variable of anybody else's.
    marker = f"TMPDIR={folder / 'tmp'}"
    program = ["-c", _SMALL_RINGS] if small_rings else ["-m", "perfcore"]
    before = _shared_memory()
    with open(folder / "stdout", "wb") as stdout, open(folder / "stderr", "wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, *program, "suite.yaml", "--results-dir", "results", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "tmp"), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )
    run = Run(process, folder, marker, before)
    try:
        yield run
    finally:
        process.kill()
        process.wait()
        for pid in _processes_with(marker):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _processes_with(variable: str) -> list[int]:
    """Living processes that were started with this in their environment, in the order of their numbers."""
    wanted, found = variable.encode(), []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError):
                if wanted in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0") and _is_alive(
                    int(entry)
                ):
                    found.append(int(entry))
    return sorted(found)


def _is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"


def _command_line(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def _shared_memory() -> set[str]:
    return set(os.listdir("/dev/shm"))


def _is_in_use(path: str) -> bool:
    """Whether a process that lives has this file open or mapped: then it is somebody else's, and no leftover."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError):
                if path in Path(f"/proc/{entry}/maps").read_text():
                    return True
                if any(os.readlink(fd) == path for fd in Path(f"/proc/{entry}/fd").iterdir()):
                    return True
    return not os.path.exists(path)
