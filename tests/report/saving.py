"""A run that is saved, and the disks that it is saved on."""

import stat
import subprocess
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from perfcore.report.results_logger import ResultsLogger

from .documents import suite_result

STARTED = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)
STAMP = "2026-11-22T10-00-00Z"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def save(results: Path, files=None) -> tuple[Path, ResultsLogger]:
    logger = ResultsLogger(results)
    logger.open_run(STARTED)
    return logger.save(suite_result(), files or {}), logger


def write_rows(path: str) -> None:
    with open(path, "wb") as file:
        file.write(b"rows")


@contextmanager
def small_disk(path: Path, options: str):
    path.mkdir(exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], capture_output=True)
    if mounted.returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)
