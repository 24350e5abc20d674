"""A machine that runs out of something: told before the first request, or counted for what it is."""

import json
import os
import re
import resource
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from integration.runs import (
    COMMAND,
    ROOT,
    assert_numbers_add_up,
    both_engines,
    changed_perfcore,
    one_test,
    python,
    run,
    shell,
    write_suite,
)
from waiting import wait_until


def limited(what, soft, hard=None):
    """To be called in the new process: from then on it has so much of this."""
    return lambda: resource.setrlimit(what, (soft, hard or soft))


def test_a_disk_that_refuses_samples_costs_the_samples_alone(tmp_path, target):
    text = one_test(target.url, endpoint="/health", parallel_users=4, iterations=2500)
    done = run(tmp_path, text, "--samples", preexec_fn=limited(resource.RLIMIT_FSIZE, 200_000))
    assert done.code == 106, done.stderr
    assert "Traceback" not in done.stderr
    document = done.document
    assert document["verdict"] == "passed"
    assert document["exit_code"] == 106
    assert document["results"]["test"]["total_requests"] == 10_000
    kept = len(done.samples())
    said = f"samples.npy lacks {10_000 - kept:,} requests: File too large"
    assert said in document["incidents"]
    assert said in done.stderr
    assert "10,000" in done.stdout


def test_more_users_than_descriptors_is_one_line_before_the_first_request(tmp_path, target):
    text = one_test(target.url, endpoint="/health", parallel_users=300)
    done = run(tmp_path, text, "--procs", "2", preexec_fn=limited(resource.RLIMIT_NOFILE, 128))
    assert done.code == 107
    told = re.fullmatch(
        r"perfcore: a worker with 150 users needs (\d+) file descriptors and the hard limit is 128: "
        r"raise it \(ulimit -n (\d+)\), or ask for fewer users \(of a rate: max_users\)",
        done.stderr.splitlines()[-1],
    )
    assert told is not None, done.stderr
    assert told[1] == told[2]
    assert 150 < int(told[1]) < 250
    assert target.stats()["requests"] == 0


def test_a_low_limit_of_descriptors_is_raised_as_far_as_it_may(tmp_path, target):
    text = one_test(target.url, endpoint="/health", parallel_users=300, ramp_up="0s")
    done = run(tmp_path, text, "--procs", "1", preexec_fn=limited(resource.RLIMIT_NOFILE, 64, 1024))
    assert done.code == 0, done.stderr
    counted = target.stats()
    assert counted["requests"] == counted["connections"] == 300


# -- local ports --------------------------------------------------------------------------------------------------

PORTS = 20
# In a network of its own, whose ports are few; what perfcore and the server say goes to stdout as JSON.
IN_A_NETWORK = f"""
import json, subprocess, sys
def allow(first, last):
    with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as file:
        file.write(f"{{first}} {{last}}")
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
from target_process import running_target
with running_target("--port", "8081") as target:
    allow(40000, {40000 + PORTS - 1})
    done = subprocess.run([sys.executable, "-m", "perfcore", *sys.argv[1:]], capture_output=True, text=True)
    allow(50000, 50999)  # for whoever asks now: closed connections hold their ports for a minute
    print(json.dumps([done.returncode, done.stdout, done.stderr, target.stats()]))
"""


def network_of_its_own():
    """The command before a command; skips where there may be none."""
    for options in (["-n"], ["-r", "-n"]):
        command = ["unshare", *options]
        with suppress(OSError):
            if subprocess.run([*command, "ip", "link"], capture_output=True, check=False).returncode == 0:
                return command
    raise pytest.skip.Exception("a network of its own cannot be made here")


def test_too_few_local_ports_are_counted_and_told_with_the_way_out(tmp_path):
    keys = {"endpoint": "/health", "parallel_users": PORTS + 10, "ramp_up": "0s", "iterations": 20}
    done = run(
        tmp_path,
        one_test("http://127.0.0.1:8081", **keys),
        "--procs",
        "2",
        command=[*network_of_its_own(), *python(IN_A_NETWORK)],
        PYTHONPATH=f"{ROOT}:{ROOT / 'tests'}",
    )
    assert done.code == 0, done.stderr
    code, stdout, stderr, counted = json.loads(done.stdout)
    assert (code, "Traceback" in stderr) == (0, False), stderr
    test = done.test("test")
    assert_numbers_add_up(test)
    assert test["total_requests"] == 20 * (PORTS + 10)
    assert set(test["errors"]) == {"unreachable"}
    assert counted["connections"] <= PORTS
    assert test["attempts"] == test["successful_requests"] == counted["requests"]
    assert "no free local port (use keepalive, more local_addresses, fewer users" in stdout
    (failure,) = test["failures"]
    assert failure["samples"][0]["detail"].endswith("or a wider net.ipv4.ip_local_port_range)")


# -- memory -------------------------------------------------------------------------------------------------------

# Every worker is left without a byte before it has made a thing of its own, or with some for a part of its users.
POOR_WORKERS = """
import resource, sys
import perfcore.engine.worker as worker
become_worker, held = worker.become_worker, []
left = int(sys.argv.pop(1))
def become_poor(supervisor):
    become_worker(supervisor)
    used = int(open("/proc/self/statm").read().split()[0]) * 4096
    resource.setrlimit(resource.RLIMIT_AS, (used + left, used + left))
    size = 0 if left else 1 << 20
    while size >= 16:
        try:
            held.append(bytearray(size))
        except MemoryError:
            size //= 2
worker.become_worker = become_poor
"""


def with_poor_workers(tmp_path, target, left_bytes, *arguments):
    text = one_test(target.url, endpoint="/health", parallel_users=4000, ramp_up="0s", iterations=2)
    command = changed_perfcore(POOR_WORKERS, str(left_bytes))
    return run(tmp_path, text, "--procs", "2", *arguments, command=command)


def test_workers_without_memory_are_told_in_one_line_before_the_load(tmp_path, target):
    done = with_poor_workers(tmp_path, target, 0)
    assert done.code == 107, done.stderr
    assert re.fullmatch(
        r"perfcore: worker \d of 2 found no memory before the load began; free some, raise the limit that is set "
        r"for it \(ulimit -v, the control group's memory limit\), or use fewer --procs",
        done.stderr.strip(),
    )
    assert target.stats()["requests"] == 0
    assert list((tmp_path / "results").iterdir()) == []


@both_engines
def test_workers_whose_memory_ends_under_load_keep_what_they_measured(tmp_path, target, engine):
    done = with_poor_workers(tmp_path, target, 4 << 20, "--engine", engine)
    assert done.code == 97, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    document = done.document
    assert document["verdict"] == "incomplete"
    assert all(re.match(r"worker \d ran out of memory at", text) for text in document["incidents"])
    assert len(document["incidents"]) == 2
    test = document["results"]["test"]
    assert_numbers_add_up(test)
    # At most one request a user was under way.
    assert 0 < test["attempts"] <= target.stats()["requests"] <= test["attempts"] + 4000


def test_a_supervisor_without_memory_is_one_line(tmp_path, target):
    suite = write_suite(tmp_path, one_test(target.url, endpoint="/health", iterations=5))
    done = shell(tmp_path, 'ulimit -v 230000; exec "$@"', *COMMAND, str(suite), "--procs", "2")
    assert done.code == 107
    assert done.stderr == (
        "perfcore: there is not enough memory; free some, or raise the limit that is set for it (ulimit -v)\n"
    )


@contextmanager
def control_group(controller, limits):
    """The file of a real control group to write a process id to; `limits` name the files of either version."""
    for parent in (Path("/sys/fs/cgroup") / controller, Path("/sys/fs/cgroup")):
        group = parent / f"perfcore-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            offered = [name for name in limits if (group / name).exists()]
            if offered:
                for name in offered:
                    (group / name).write_text(limits[name])
                yield group / "cgroup.procs"
                return
        finally:
            wait_until(lambda group=group: not (group / "cgroup.procs").read_text(), "an empty group")
            group.rmdir()
    pytest.skip("no control group can be made here")


def test_a_worker_that_the_kernel_ends_for_lack_of_memory_is_told_as_that(tmp_path, target):
    program = (
        "import sys\n"
        "import perfcore.engine.worker as worker\n"
        "become_worker, procs, held = worker.become_worker, sys.argv.pop(1), []\n"
        "def become_poor(supervisor):\n"
        "    become_worker(supervisor)\n"
        "    open(procs, 'w').write('0')\n"
        "    while True: held.append(b'x' * (1 << 20))\n"
        "worker.become_worker = become_poor\n"
    )
    text = one_test(target.url, endpoint="/health", iterations=5)
    limits = {"memory.limit_in_bytes": "64M", "memory.max": "64M", "memory.swap.max": "0"}
    with control_group("memory", limits) as procs:
        done = run(tmp_path, text, "--procs", "1", command=changed_perfcore(program, str(procs)))
    assert done.code == 107, done.stderr
    assert "worker 0 of 1 found no memory before the load began" in done.stderr


# -- processors ---------------------------------------------------------------------------------------------------


def test_half_a_core_is_one_worker_and_the_summary_says_half(tmp_path, target):
    text = one_test(target.url, endpoint="/health", parallel_users=2, iterations=50)
    limits = {"cpu.cfs_quota_us": "50000", "cpu.max": "50000 100000"}
    with control_group("cpu", limits) as procs:
        done = run(tmp_path, text, "--procs", "auto", preexec_fn=lambda: procs.write_text("0"))
    assert done.code == 0, done.stderr
    machine = done.document["environment"]
    assert (machine["workers"], machine["cpu_cores"], machine["cpu_quota"]) == (1, 1, 0.5)
    assert "the control group grants 0.5 CPUs" in done.stdout


# -- many users ---------------------------------------------------------------------------------------------------


@both_engines
def test_ten_thousand_users_on_two_cores_run_to_the_end(tmp_path, target, engine):
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard_limit < 11_000:
        pytest.skip(f"the server alone needs 10,000 descriptors, and the hard limit is {hard_limit}")
    keys = {"endpoint": "/health", "parallel_users": 10_000, "ramp_up": "1s", "iterations": 2}
    done = run(tmp_path, one_test(target.url, **keys), "--procs", "2", "--engine", engine)
    assert done.code == 0, done.stderr
    test = done.test("test")
    assert_numbers_add_up(test)
    assert test["engine"] == engine
    assert test["errors"] == {}
    counted = target.stats()
    assert test["attempts"] == counted["requests"] == 20_000
    assert counted["connections"] == 10_000
    # 13 KiB a user, and what a worker takes without any.
    assert max(done.document["environment"]["workers_rss_mb"]) < 200
