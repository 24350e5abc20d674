"""The embedded target as a process, for benches."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def running_target(*arguments: str) -> Iterator[str]:
    """The URL of a target that lives as long as the block."""
    command = [
        sys.executable,
        "-m",
        "perfcore.target",
        "--port",
        "0",
        "--exit-with-parent",
        "--quiet",
        *arguments,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip().removeprefix("listening on ")
        finally:
            process.kill()
