"""`perfcore …` as a process, with an environment that holds no twin but those that a test gives."""

import os
import subprocess
import sys
from pathlib import Path

from forked_perfcore import SERVER

ROOT = Path(__file__).resolve().parent.parent.parent
COMMAND = [sys.executable, "-m", "perfcore"]
TIMEOUT_S = 60


def perfcore(
    *arguments: str, cwd: Path = ROOT, stdin: str = "", **twins: str
) -> "subprocess.CompletedProcess[str]":
    """What it wrote and how it ended."""
    done = SERVER.run(arguments, cwd, environment(twins), stdin, TIMEOUT_S)
    if done is not None:
        return subprocess.CompletedProcess(arguments, *done)
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=environment(twins),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


def environment(twins: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PERFCORE_")}
    return {**kept, "PYTHONPATH": str(ROOT), **twins}


def complaint(done: "subprocess.CompletedProcess[str]", code: int = 2) -> str:
    """The one line on stderr of a command that refused, with nothing on stdout."""
    assert done.returncode == code, done
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]
