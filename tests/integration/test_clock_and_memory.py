"""Time and memory of long runs: the system's clock may step, and an hour costs no more memory than a minute."""

import subprocess
import time
from pathlib import Path

import pytest
from integration.runs import (
    COMMAND,
    assert_numbers_add_up,
    changed_perfcore,
    ended,
    interrupt,
    one_test,
    started,
    under_load,
    workers_of,
)

HOUR_S = 3600

# What Python reads of the system's clock jumps by so many seconds once the file MARK is there.
STEPPING = """
import os, sys, time
step_s, mark = float(sys.argv.pop(1)), os.environ["MARK"]
real = time.time_ns
def stepped_ns():
    return real() + (round(step_s * 1e9) if os.path.exists(mark) else 0)
time.time_ns, time.time = stepped_ns, lambda: stepped_ns() / 1e9
"""


def assert_no_figure_moved(document, target, passed_s, load_s):
    """All that is measured fits into the time that really passed, and begins and ends where it should."""
    clock = document["clock"]
    lasted_s = (clock["end"]["monotonic_ns"] - clock["start"]["monotonic_ns"]) / 1e9
    assert load_s <= lasted_s <= passed_s
    test = document["results"]["test"]
    assert_numbers_add_up(test)
    assert test["errors"] == {}
    assert test["attempts"] == target.stats()["requests"]
    assert load_s * 1000 <= test["parallel_execution"]["total_duration_ms"] <= passed_s * 1000
    assert len(test["timeline"]["requests"]) <= passed_s / test["timeline"]["slice_s"] + 1
    for figures in (test["timing"], test["service_time"], test["timing_failed"], *test["phases"].values()):
        times = [value for key, value in figures.items() if key.endswith("_ms") and value is not None]
        assert all(0 <= value <= passed_s * 1000 for value in times), figures
    assert 0 < test["requests_per_second"] <= test["total_requests"] / load_s + 0.001  # it is rounded


# The same for whatever libcurl and the other libraries read. No header is needed to compile it.
STEPPING_LIBRARY = """
typedef struct { long s, n; } instant;
extern void *dlsym(void *, const char *);
extern int access(const char *, int);
static int (*real)(int, instant *);
__attribute__((constructor)) static void begin(void) {
    real = (int (*)(int, instant *))dlsym((void *)-1L, "clock_gettime");
}
int clock_gettime(int id, instant *t) {
    if (!real) begin();
    int failed = real(id, t);
    if (!failed && (id == 0 || id == 5) && !access("MARK", 0)) t->s += STEP_S;
    return failed;
}
long time(long *t) { instant now; clock_gettime(0, &now); if (t) *t = now.s; return now.s; }
int gettimeofday(instant *t, void *zone) { int failed = clock_gettime(0, t); t->n /= 1000; return failed; }
"""


def run_with_a_step(tmp_path, target, command, *, step_s, **env):
    text = one_test(
        target.url,
        endpoint="/health",
        parallel_users=4,
        duration="800ms",
        think_time="5ms",
        keepalive="false",
    )
    begun = time.monotonic()
    mark = tmp_path / "mark"
    with started(tmp_path, text, "--procs", "2", command=command, MARK=str(mark), **env) as process:
        under_load(target, 1)
        mark.touch()
        done = ended(process, tmp_path)
    passed_s = time.monotonic() - begun
    assert done.code == 0, done.stderr
    document = done.document
    clock = document["clock"]
    stepped_s = (clock["end"]["realtime_ns"] - clock["start"]["realtime_ns"]) / 1e9
    assert abs(stepped_s - step_s) < 60, "the clock did not step"
    assert_no_figure_moved(document, target, passed_s, 0.8)


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
def test_a_step_of_the_clock_in_mid_run_moves_no_figure(tmp_path, target, step_s):
    run_with_a_step(tmp_path, target, changed_perfcore(STEPPING, str(step_s)), step_s=step_s)


@pytest.mark.debian("gcc")
@pytest.mark.parametrize(("step_s", "engine"), [(HOUR_S, "wire"), (-HOUR_S, "wire"), (-HOUR_S, "transfer")])
def test_a_step_of_every_librarys_clock_moves_no_figure(tmp_path, target, step_s, engine):
    library = tmp_path / "stepping.so"
    source = STEPPING_LIBRARY.replace("STEP_S", f"({step_s})").replace("MARK", str(tmp_path / "mark"))
    command = ["gcc", "-shared", "-fPIC", "-w", "-o", str(library), "-x", "c", "-", "-nostdlib"]
    subprocess.run(command, input=source, text=True, check=True)
    env = {"LD_PRELOAD": str(library), "PERFCORE_ENGINE": engine}
    run_with_a_step(tmp_path, target, COMMAND, step_s=step_s, **env)


# -- an hour --------------------------------------------------------------------------------------------------------


def own_memory_kib(pid):
    """Without what is shared: a ring's pages count for whoever touches them, and are no more than the ring."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


@pytest.mark.parametrize(
    ("endpoint", "engine"),
    [
        ("/health", "wire"),
        ("/health", "transfer"),
        ("/close", "wire"),
        ("/truncate", "wire"),
        ("/truncate", "transfer"),
        ("/status/500", "wire"),
        ('"/echo?n=${uuid()}"', "wire"),
        ('"/echo?n=${uuid()}"', "transfer"),
    ],
)
def test_a_worker_takes_no_more_memory_the_more_requests_it_sent(tmp_path, target, endpoint, engine):
    """An hour at three requests a second, in a few seconds: kept connections, new ones, failures, new URLs."""
    text = one_test(target.url, endpoint=endpoint, parallel_users=20, duration="60s")
    with started(tmp_path, text, "--procs", "1", "--engine", engine) as process:
        (worker,) = workers_of(process, 1)
        under_load(target, 3_000)
        before_kib = own_memory_kib(worker)
        under_load(target, 12_000)
        after_kib = own_memory_kib(worker)
        interrupt(process)
        done = ended(process, tmp_path)
    assert done.code == 105
    # It is some 10 KiB, and a leak of one small object of 32 bytes a request would be 280.
    assert after_kib - before_kib < 250
