"""The machine under the run: what it is, and how busy it and the workers were, sampled once a second.

psutil lives here and nowhere else. Process figures come from the workers' own /proc entries, so a worker that
has died simply stops being sampled. What validity is judged by is read in `host_signals`.
"""

import os
import platform
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from perfcore.metrics.host_signals import HostMeter, HostSignals

SAMPLE_EVERY_S = 1.0
_MIB = 1024 * 1024
_CGROUP = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """Cores this process may use: its affinity, or the cgroup's CPU quota rounded down if that is less; ≥ 1."""
    cores = len(os.sched_getaffinity(0))
    quota = cgroup_cpu_quota()
    if quota is not None:
        cores = min(cores, int(quota))
    return max(1, cores)


def cgroup_cpu_quota() -> float | None:
    """CPUs the control group grants, from this process's group up to the root; None without a limit."""
    limits = [limit for group in cpu_groups() for limit in (_quota_v2(group), _quota_v1(group))]
    return min((limit for limit in limits if limit is not None), default=None)


def cpu_groups() -> list[Path]:
    """Directories of the control groups that grant CPU, of version 1 and 2, each from this process's up to the root."""
    groups: list[Path] = []
    try:
        own = _OWN_GROUPS.read_text()
    except OSError:
        return groups
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            groups += _up_to_root(_CGROUP, path)
        elif "cpu" in controllers.split(","):
            groups += _up_to_root(_CGROUP / "cpu", path)
    return groups


def _up_to_root(root: Path, path: str) -> list[Path]:
    group = root / path.lstrip("/")
    levels = [group, *group.parents]
    return levels[: levels.index(root) + 1]


def _quota_v2(group: Path) -> float | None:
    try:
        quota, period = (group / "cpu.max").read_text().split()[:2]
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def _quota_v1(group: Path) -> float | None:
    try:
        quota = int((group / "cpu.cfs_quota_us").read_text())
        period = int((group / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 and period > 0 else None


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("model name", "Model")):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


class _Level:
    """Average and maximum of what was noted, in the same memory however long a run lasts."""

    __slots__ = ("_largest", "_sum", "samples")

    def __init__(self) -> None:
        self.samples = 0
        self._sum = self._largest = 0.0

    def note(self, value: float) -> None:
        self._largest = max(self._largest, value) if self.samples else value
        self._sum += value
        self.samples += 1

    @property
    def average(self) -> float:
        return round(self._sum / self.samples, 1) if self.samples else 0.0

    def average_and_max(self) -> dict[str, float]:
        return {"avg": self.average, "max": round(self._largest, 1)}


class EnvironmentSampler:
    """Samples host and workers; `document` is the environment block of a result.

    `versions` come from the transport (libcurl, pycurl, tls): only it knows them.
    """

    def __init__(self, versions: Mapping[str, str]) -> None:
        self._versions = dict(versions)
        self._cpu = _Level()
        self._memory = _Level()
        self._workers: list[psutil.Process | None] = []
        self._worker_cpu: list[_Level] = []
        self._worker_rss: list[int] = []
        self._meter = HostMeter(cpu_groups())
        self._times_before = psutil.cpu_times()
        psutil.cpu_percent(None)  # the first call only sets the mark from which the next one counts

    def watch(self, pids: Sequence[int]) -> None:
        """Sample these worker processes as well, from now on; what is judged over the run begins with the first."""
        if not self._workers:
            self._meter.begin()
        for pid in pids:
            self._meter.watch(pid)
            try:
                process = psutil.Process(pid)
                process.cpu_percent(None)
            except psutil.Error:
                process = None
                self._meter.forget(len(self._workers))
            self._workers.append(process)
            self._worker_cpu.append(_Level())
            self._worker_rss.append(0)

    def sample(self) -> None:
        """Take one sample of everything."""
        self._cpu.note(psutil.cpu_percent(None))
        self._memory.note(psutil.virtual_memory().percent)
        self._sample_workers()
        self._meter.sample()

    def _sample_workers(self) -> None:
        for at, process in enumerate(self._workers):
            if process is None:
                continue
            try:
                with process.oneshot():
                    if process.status() == psutil.STATUS_ZOMBIE:
                        raise psutil.ZombieProcess(process.pid)  # its load of 0 % would lower the average
                    self._worker_cpu[at].note(process.cpu_percent(None))
                    self._worker_rss[at] = max(self._worker_rss[at], process.memory_info().rss)
            except psutil.Error:
                self._workers[at] = None
                self._meter.forget(at)

    def sample_last(self) -> None:
        """Before the workers end: what they are judged by, once more. A run may be shorter than a second."""
        self._meter.sample_workers()

    def host_signals(self) -> HostSignals:
        """What the machine took from the generator, over the run until now."""
        return self._meter.signals()

    def document(self) -> dict[str, Any]:
        """The `environment` object; percentages are of one core for workers, of all cores for the host."""
        if not self._cpu.samples:
            self.sample()
        return {
            "python_version": platform.python_version(),
            "platform": platform.system(),
            "cpu_cores": usable_cores(),
            "cpu_quota": cgroup_cpu_quota(),
            "cpu_model": _cpu_model(),
            "memory_mb": psutil.virtual_memory().total // _MIB,
            "kernel": platform.release(),
            "hostname": socket.gethostname(),
            "workers": len(self._workers),
            **self._versions,
            "cpu_percent": self._cpu.average_and_max(),
            "memory_percent": self._memory.average_and_max(),
            "workers_cpu_percent": [level.average for level in self._worker_cpu],
            "workers_rss_mb": [round(rss / _MIB, 1) for rss in self._worker_rss],
            "steal_percent": self._steal_percent(),
            "python_implementation": sys.implementation.name,
        }

    def _steal_percent(self) -> float:
        now, before = psutil.cpu_times(), self._times_before
        total = _host_time(now) - _host_time(before)
        return round(100 * (now.steal - before.steal) / total, 2) if total > 0 else 0.0


def _host_time(times: Any) -> float:
    # What guests got is in `user` and `nice` as well.
    return float(sum(times) - times.guest - times.guest_nice)
