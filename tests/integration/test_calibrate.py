"""`perfcore calibrate` as a process: what it finds is kept and told later; what was known survives a Ctrl-C."""

import json
import os
import signal
import stat
import time
from pathlib import Path

import pytest
from integration.runs import COMMAND, Run, children, completed, ended, is_alive, one_test, process_of, run
from waiting import wait_until

SHORT = [*COMMAND, "calibrate", "--quick", "--engine", "wire", "--seconds", "0.2"]


def calibrated(folder: Path, *options: str, **env: str) -> Run:
    return completed(folder, [*SHORT, *options], {"XDG_CACHE_HOME": str(folder), **env})


def test_a_calibration_is_kept_and_the_next_run_says_its_own_error(tmp_path, target):
    done = calibrated(tmp_path)
    assert done.code == 0, done.stderr
    assert done.stderr.startswith("8 runs against the embedded target, about 8s; leave the machine to them\n")
    assert "wire path  " in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    path = tmp_path / "perfcore" / "calibration.json"
    assert done.stdout.endswith(f"Calibration  {path}\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (tmp_path / "perfcore" / "calibration.svg").read_text().startswith("<svg ")
    stored = json.loads(path.read_text())
    rungs = stored["engines"]["wire"]["rungs"]
    capacity = stored["engines"]["wire"]["capacity_per_worker"]
    shares = {round(rung["planned_rate"] / capacity, 2) for rung in rungs}
    # Rates beyond what the target can do may have been attained alike, and are one then.
    assert {0.01, 0.1} <= shares <= {0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0}
    assert all(rung["truth_p50_ms"] >= 2 for rung in rungs)

    suite = one_test(target.url, endpoint="/delay/2", rate="300/s", duration="500ms", max_users="50")
    later = run(tmp_path, suite, "--procs", "1", XDG_CACHE_HOME=str(tmp_path))
    known = later.test("test")["tool_error"]
    day = stored["engines"]["wire"]["calibrated"]
    assert later.document["calibration"] == {"calibrated": day, "used": True, "reason": None}
    assert known["engine"] == "wire"
    assert known["rate_per_worker"] == later.test("test")["requests_per_second"]
    errors = sorted(rung["p99_error_ms"] for rung in rungs)
    assert errors[0] <= known["p99_ms"] <= errors[-1]
    safe = [s for s in later.document["validity"]["signals"] if s["name"] == "rate_of_safe_percent"]
    assert len(safe) == (stored["engines"]["wire"]["safe_rate_per_worker"] is not None)
    told = f"error of this tool at this rate: p99 {known['p99_ms']:+.2g} ms (calibrated {day}"
    assert told in later.stdout


def test_a_first_signal_ends_it_at_once_and_leaves_what_was_known_and_no_process(tmp_path):
    kept = tmp_path / "perfcore" / "calibration.json"
    kept.parent.mkdir()
    kept.write_text("as it was")
    for number in (signal.SIGINT, signal.SIGTERM):
        with process_of(tmp_path, [*SHORT[:-1], "30"], {"XDG_CACHE_HOME": str(tmp_path)}) as process:
            wait_until(lambda process=process: len(children(process.pid)) == 2, "the target and a run")
            (run_of_it,) = [pid for pid in children(process.pid) if children(pid)] or [None]
            below = children(process.pid) + (children(run_of_it) if run_of_it else [])
            began = time.monotonic()
            os.kill(process.pid, number)
            done = ended(process, tmp_path)
        assert time.monotonic() - began < 10
        assert (done.code, done.stdout) == (105, "")
        assert done.stderr.splitlines()[-1] == "perfcore: interrupted"
        wait_until(lambda below=below: not any(map(is_alive, below)), "the end of every process")
    assert kept.read_text() == "as it was"
    assert [entry.name for entry in kept.parent.iterdir()] == ["calibration.json"]


def test_a_place_that_refuses_is_told_before_anything_is_measured(tmp_path):
    (tmp_path / "file").write_text("")
    done = calibrated(tmp_path, XDG_CACHE_HOME=str(tmp_path / "file"))
    assert (done.code, done.stdout) == (106, "")
    assert done.stderr == (
        f"perfcore: {tmp_path}/file/perfcore: Not a directory: nothing was measured; make room there, or set "
        "XDG_CACHE_HOME to another directory\n"
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [("{", "is broken (it is no JSON)"), ('{"version": 7}', "is broken (version is 7")],
)
def test_a_broken_calibration_is_told_once_and_the_run_goes_on(tmp_path, target, content, told):
    path = tmp_path / "perfcore" / "calibration.json"
    path.parent.mkdir()
    path.write_text(content)
    suite = one_test(target.url, endpoint="/health", parallel_users=2, iterations=5)
    done = run(tmp_path, suite, "--procs", "1", XDG_CACHE_HOME=str(tmp_path))
    assert done.code == 0
    assert " ".join(done.stdout.split()).count(told) == 1
    assert done.document["calibration"]["used"] is False
    assert done.test("test")["tool_error"] is None
    assert told not in done.stderr
