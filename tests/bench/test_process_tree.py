"""The CPU time of a tree is all of it, and nothing that was started is left behind."""

import os
import sys
from pathlib import Path

import psutil
import pytest

from bench import process_tree
from bench.process_tree import OverdueError

CORES = frozenset(os.sched_getaffinity(0))
# Burns CPU by its own count, so that the figure to find does not depend on the machine's speed.
BURN = "import time\nwhile time.process_time() < 0.3: pass\n"


def run(program: str, tmp_path: Path, limit_s: float = 60) -> process_tree.Spent:
    return process_tree.run(
        [sys.executable, "-c", program], cores=CORES, limit_s=limit_s, output=tmp_path / "output"
    )


def test_time_of_children_that_were_waited_for_counts(tmp_path: Path) -> None:
    spent = run(f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN!r}])\n", tmp_path)
    assert spent.exit_code == 0
    assert spent.cpu_s >= 0.3
    assert spent.orphans_cpu_s == 0


def test_time_of_a_child_that_outlives_its_parent_counts_and_it_is_ended(tmp_path: Path) -> None:
    child = f"import os\n{BURN}\nopen('burnt', 'w').close()\nimport signal\nsignal.pause()\n"
    parent = (
        "import os, subprocess, sys, time\n"
        f"os.chdir({str(tmp_path)!r})\n"
        f"print(subprocess.Popen([sys.executable, '-c', {child!r}]).pid, flush=True)\n"
        "while not os.path.exists('burnt'): time.sleep(0.01)\n"
        "os._exit(3)\n"
    )
    spent = run(parent, tmp_path)
    assert spent.exit_code == 3
    assert spent.orphans_cpu_s >= 0.3
    assert spent.cpu_s >= spent.orphans_cpu_s
    assert not psutil.pid_exists(int((tmp_path / "output").read_text()))


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    program = (
        "import signal, subprocess, sys\n"
        "print(subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()']).pid, flush=True)\n"
        "signal.pause()\n"
    )
    with pytest.raises(OverdueError, match="did not end within"):
        run(program, tmp_path, limit_s=2)
    assert not psutil.pid_exists(int((tmp_path / "output").read_text()))


def test_what_a_program_says_is_kept_apart_from_its_complaints(tmp_path: Path) -> None:
    spent = run("import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)", tmp_path)
    assert spent.exit_code == 7
    assert (tmp_path / "output").read_text() == "out\n"
    assert (tmp_path / "output.err").read_text() == "err\n"
