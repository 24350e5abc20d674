"""The machine: control groups in a made-up tree, and workers that die."""

import subprocess
import sys

import psutil
import pytest

from perfcore.metrics import environment
from perfcore.metrics.environment import EnvironmentSampler, cgroup_cpu_quota, usable_cores

RESULT_FORMAT_KEYS = {
    "python_version",
    "platform",
    "cpu_cores",
    "cpu_model",
    "memory_mb",
    "kernel",
    "hostname",
    "workers",
    "libcurl",
    "pycurl",
    "tls",
    "cpu_percent",
    "memory_percent",
    "workers_cpu_percent",
    "workers_rss_mb",
    "steal_percent",
}
VERSIONS = {"libcurl": "8.23.0", "pycurl": "7.49.0", "tls": "OpenSSL/3.6.5"}


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Writes a process's groups and files of the control-group tree; returns the function that does."""
    root = tmp_path / "cgroup"
    monkeypatch.setattr(environment, "_CGROUP", root)
    monkeypatch.setattr(environment, "_OWN_GROUPS", tmp_path / "own")

    def write(own, files):
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


V1 = "12:memory:/docker/x\n5:cpu,cpuacct:/docker/x\n1:name=systemd:/docker/x\n"


def v1(group, quota, period=100_000):
    return {f"cpu{group}/cpu.cfs_quota_us": f"{quota}\n", f"cpu{group}/cpu.cfs_period_us": f"{period}\n"}


@pytest.mark.parametrize(
    ("own", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {}, None),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"}, 3.0),
        ("0::/a/b\n", {"a/b/cpu.max": "400000 100000\n", "a/cpu.max": "300000 100000\n"}, 3.0),
        ("0::/a/b\n", {"a/b/cpu.max": "50000 100000\n", "a/cpu.max": "300000 100000\n"}, 0.5),
        ("0::/../../b\n", {"cpu.max": "200000 100000\n"}, 2.0),
        ("0::/with:colon\n", {"with:colon/cpu.max": "200000 100000\n"}, 2.0),
        ("0::/\n", {"cpu.max": "nonsense\n"}, None),
        ("0::/\n", {"cpu.max": ""}, None),
        (V1, v1("/docker/x", 250_000), 2.5),
        (V1, v1("/docker/x", -1), None),
        (V1, v1("", 200_000), 2.0),  # in a container the mount begins at the container's own group
        (V1, {**v1("/docker/x", -1), **v1("/docker", 150_000)}, 1.5),
        (V1, {**v1("/docker/x", 100_000, 50_000), **v1("", 300_000)}, 2.0),
        (V1, v1("/docker/x", 100_000, 0), None),
        ("4:cpuset:/x\n", v1("/x", 100_000), None),
        (V1 + "0::/docker/x\n", {**v1("/docker/x", 300_000), "docker/x/cpu.max": "100000 100000"}, 1.0),
    ],
)
def test_the_quota_is_the_least_from_the_own_group_up(groups, own, files, quota):
    groups(own, files)
    assert cgroup_cpu_quota() == quota


def test_no_control_groups_is_no_quota(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "_OWN_GROUPS", tmp_path / "missing")
    assert cgroup_cpu_quota() is None


@pytest.mark.parametrize(
    ("affinity", "quota", "cores"),
    [(8, None, 8), (8, "250000 100000", 2), (2, "800000 100000", 2), (8, "50000 100000", 1), (1, None, 1)],
)
def test_usable_cores_are_affinity_or_quota_whichever_is_less(groups, monkeypatch, affinity, quota, cores):
    groups("0::/\n", {} if quota is None else {"cpu.max": quota})
    monkeypatch.setattr(environment.os, "sched_getaffinity", lambda pid: set(range(affinity)))
    assert usable_cores() == cores


def test_half_a_core_is_one_usable_core_and_the_document_says_half(groups, monkeypatch):
    groups(V1, v1("/docker/x", 50_000))
    monkeypatch.setattr(environment.os, "sched_getaffinity", lambda pid: {0, 1})
    document = EnvironmentSampler(VERSIONS).document()
    assert (document["cpu_cores"], document["cpu_quota"]) == (1, 0.5)


def test_this_machine_has_a_core():
    assert usable_cores() >= 1


def test_the_document_has_the_keys_of_the_result_format():
    sampler = EnvironmentSampler(VERSIONS)
    document = sampler.document()
    assert document.keys() >= RESULT_FORMAT_KEYS
    assert document["libcurl"] == "8.23.0"
    assert document["workers"] == 0
    assert document["workers_cpu_percent"] == document["workers_rss_mb"] == []
    assert document["memory_mb"] > 100
    assert document["cpu_percent"].keys() == document["memory_percent"].keys() == {"avg", "max"}
    assert 0 <= document["steal_percent"] <= 100


@pytest.fixture
def child():
    process = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); import time; time.sleep(60)"], stdout=subprocess.PIPE
    )
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_workers_are_measured(child):
    sampler = EnvironmentSampler(VERSIONS)
    sampler.watch([child.pid])
    sampler.sample()
    document = sampler.document()
    assert document["workers"] == 1
    assert document["workers_rss_mb"][0] > 1
    assert document["workers_cpu_percent"][0] >= 0


@pytest.mark.parametrize("reaped", [False, True])
def test_a_worker_that_died_stops_being_sampled(child, monkeypatch, reaped):
    sampler = EnvironmentSampler(VERSIONS)
    sampler.watch([child.pid])
    loads = iter([80.0, 0.0, 0.0])
    monkeypatch.setattr(psutil.Process, "cpu_percent", lambda process, interval=None: next(loads))
    sampler.sample()
    child.kill()
    if reaped:
        child.wait()
    else:
        while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
            pass
    sampler.sample()
    sampler.sample()
    document = sampler.document()
    assert document["workers_cpu_percent"] == [80.0]
    assert document["workers_rss_mb"][0] > 1
    assert document["workers"] == 1


def test_a_worker_gone_before_it_was_watched_counts_as_one(child):
    child.kill()
    child.wait()
    sampler = EnvironmentSampler(VERSIONS)
    sampler.watch([child.pid])
    sampler.sample()
    assert sampler.document()["workers_cpu_percent"] == [0.0]


def test_averages_and_maxima_are_over_the_samples(monkeypatch):
    sampler = EnvironmentSampler(VERSIONS)
    loads = iter([10.0, 30.0, 80.0])
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval=None: next(loads))
    for _ in range(3):
        sampler.sample()
    assert sampler.document()["cpu_percent"] == {"avg": 40.0, "max": 80.0}


def test_steal_is_a_share_of_the_time_that_passed(monkeypatch):
    times = psutil.cpu_times()
    values = dict.fromkeys(times._fields, 0.0)
    marks = iter(
        [
            type(times)(**values),
            # 100 s: 50 of user of which a guest had 20, 40 idle, 10 stolen.
            type(times)(**{**values, "user": 50.0, "guest": 20.0, "idle": 40.0, "steal": 10.0}),
        ]
    )
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval=None: 0.0)
    monkeypatch.setattr(psutil, "cpu_times", lambda: next(marks))
    assert EnvironmentSampler(VERSIONS).document()["steal_percent"] == 10.0
