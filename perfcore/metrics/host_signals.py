"""What the machine took from the generator, read from /proc and the control groups once a second.

Everything is a difference to the first reading, so what went before the run is in no figure. A file that is missing or
unreadable gives None: its signal is left out. `sample` is cheap (a few small files, and two for each worker); the one
costly reading, every TCP connection of the machine, is made where local ports are about to run out, and then seldom.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# Steal is counted in hundredths of a second a core: over less than this a single tick would be a few percent.
_SHORTEST_STEAL_NS = 900_000_000
_SHORTEST_WAIT_NS = 50_000_000
# What the supervisor does once at the end is no load of a run, and most of one that is shorter.
_SHORTEST_RUN_NS = 900_000_000
# From here on it matters which of the machine's connections hold a port of the range, and to where.
_MANY_PORTS_PERCENT = 80
_COUNT_PORTS_EVERY_NS = 10_000_000_000
_LIST_EVERY = 10  # readings
# Fields of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal; guests are in user and nice as well.
_STEAL, _CPU_FIELDS = 7, 8


@dataclass(frozen=True, slots=True)
class WorkerHostSignals:
    """What the kernel says of one worker."""

    run_queue_wait_percent: float | None = None
    """Time in which its main thread was ready and not run, of the wall time."""
    descriptors_percent: float | None = None
    """The most descriptors that were open at a reading, of RLIMIT_NOFILE."""


@dataclass(frozen=True, slots=True)
class HostSignals:
    """Percentages over the run; None for what this machine does not tell."""

    steal_percent: float | None = None
    """Of the time of all cores."""
    worst_steal_percent: float | None = None
    """In the worst second."""
    throttled_percent: float | None = None
    """Of the wall time, in the control group in which it was most; of several cores it may be more than 100."""
    supervisor_cpu_percent: float | None = None
    """Of one core."""
    ephemeral_ports_percent: float | None = None
    """The most that were in use, of ip_local_port_range; an upper bound as long as it is below 80."""
    workers: tuple[WorkerHostSignals, ...] = ()


class HostMeter:
    """Reads at `sample`; `signals` says what came of it. Counts from its last `begin`, a worker from its `watch` on.

    `groups` are the directories of the process's control groups, from its own up to the root, of either version.
    """

    def __init__(
        self,
        groups: Sequence[Path],
        *,
        proc: Path = Path("/proc"),
        clock: Callable[[], int] = time.monotonic_ns,
        cpu_clock: Callable[[], int] = time.process_time_ns,
    ) -> None:
        self._proc = proc
        self._clock, self._cpu_clock = clock, cpu_clock
        self._groups = groups
        self._ports = _Ports(proc)
        self._workers: list[_Worker] = []
        self._size_is_count = _size_is_count(proc)
        self.begin()

    def begin(self) -> None:
        """The run begins now: what went before, the start of the workers for one, is in no figure."""
        self._start_ns, self._start_cpu_ns = self._clock(), self._cpu_clock()
        self._steal = _Steal(self._proc / "stat", self._start_ns)
        self._throttled = [_Growth(time_ns) for group in self._groups for time_ns in _throttle_clocks(group)]
        self._read_throttling()

    def watch(self, pid: int) -> None:
        """Read this worker as well, from now on."""
        self._workers.append(_Worker(self._proc / str(pid), self._clock(), self._size_is_count))

    def forget(self, worker: int) -> None:
        """This worker, counted from 0, has died: what was read until now stays."""
        self._workers[worker].is_alive = False

    def sample(self) -> None:
        """Take one reading of everything."""
        self.sample_workers()
        now_ns = self._clock()
        self._steal.read(now_ns)
        self._read_throttling()
        self._ports.read(now_ns)

    def sample_workers(self) -> None:
        """Take one reading of the workers alone; the last one before they end."""
        now_ns = self._clock()
        for worker in self._workers:
            if worker.is_alive:
                worker.read(now_ns)

    def signals(self) -> HostSignals:
        """What was read, and the whole run's figures as of now."""
        now_ns = self._clock()
        wall_ns = max(now_ns - self._start_ns, 1)
        self._steal.read(now_ns)
        self._read_throttling()
        supervisor = _percent(self._cpu_clock() - self._start_cpu_ns, wall_ns)
        throttled = [grown for each in self._throttled if (grown := each.grown) is not None]
        return HostSignals(
            steal_percent=self._steal.percent,
            worst_steal_percent=self._steal.worst_percent,
            throttled_percent=_percent(max(throttled), wall_ns) if throttled else None,
            supervisor_cpu_percent=supervisor if wall_ns >= _SHORTEST_RUN_NS else None,
            ephemeral_ports_percent=self._ports.percent,
            workers=tuple(worker.signals() for worker in self._workers),
        )

    def _read_throttling(self) -> None:
        for each in self._throttled:
            each.read()


class _Growth:
    """How far a counter has grown since its first reading; a reading may fail."""

    def __init__(self, reading: Callable[[], int | None]) -> None:
        self._reading = reading
        self._first: int | None = None
        self.grown: int | None = None

    def read(self) -> None:
        value = self._reading()
        if value is None:
            return
        if self._first is None:
            self._first = value
        self.grown = max(value - self._first, 0)


def _percent(part: float, whole: float) -> float:
    return round(100 * part / whole, 3)


def _throttle_clocks(group: Path) -> Iterator[Callable[[], int | None]]:
    """Readings of the nanoseconds for which the group's processes had to stand still; none where it does not count."""
    for name, unit_ns in (("throttled_usec", 1000), ("throttled_time", 1)):

        def reading(name: str = name, unit_ns: int = unit_ns) -> int | None:
            value = _counter(group / "cpu.stat", name)
            return None if value is None else value * unit_ns

        if reading() is not None:
            yield reading


def _counter(path: Path, name: str) -> int | None:
    """From a file of lines `name number`."""
    try:
        for line in path.read_text().splitlines():
            words = line.split()
            if len(words) == 2 and words[0] == name:
                return int(words[1])
    except (OSError, ValueError):
        pass
    return None


class _Steal:
    """Time that the hypervisor gave to others, of the time of all cores."""

    def __init__(self, path: Path, now_ns: int) -> None:
        self._path = path
        self._first = self._before = self._last = self._ticks()
        self._start_ns = self._before_ns = self._last_ns = now_ns
        self.worst_percent: float | None = None

    def read(self, now_ns: int) -> None:
        ticks = self._ticks()
        if ticks is None:
            return
        self._last, self._last_ns = ticks, now_ns
        if now_ns - self._before_ns < _SHORTEST_STEAL_NS:
            return
        percent = self._between(self._before, ticks)
        if percent is not None:
            self.worst_percent = max(self.worst_percent or 0.0, percent)
        self._before, self._before_ns = ticks, now_ns

    @property
    def percent(self) -> float | None:
        if self._last_ns - self._start_ns < _SHORTEST_STEAL_NS:
            return None
        return self._between(self._first, self._last)

    def _ticks(self) -> tuple[int, int] | None:
        """Stolen and all ticks since the machine started."""
        try:
            with self._path.open() as file:
                ticks = [int(word) for word in file.readline().split()[1 : 1 + _CPU_FIELDS]]
            return ticks[_STEAL], sum(ticks)
        except (OSError, ValueError, IndexError):
            return None

    @staticmethod
    def _between(before: tuple[int, int] | None, after: tuple[int, int] | None) -> float | None:
        if before is None or after is None or after[1] <= before[1]:
            return None
        return _percent(max(after[0] - before[0], 0), after[1] - before[1])


def _size_is_count(proc: Path) -> bool:
    """Whether the size of a process's directory of descriptors is their number: Linux 6.2 and newer."""
    try:
        return (proc / "self/fd").stat().st_size > 0
    except OSError:
        return False


class _Worker:
    """One worker: its main thread's waiting for a core, and its descriptors."""

    def __init__(self, proc: Path, now_ns: int, size_is_count: bool) -> None:
        self._proc = proc
        self._size_is_count = size_is_count
        self._wait = _Growth(self._waited_ns)
        self._start_ns = self._last_ns = now_ns
        self._descriptors_percent: float | None = None
        self._readings = 0
        self.is_alive = True
        self._wait.read()

    def read(self, now_ns: int) -> None:
        self._wait.read()
        self._last_ns = now_ns
        used, limit = self._open_descriptors(), self._most_descriptors()
        if used is not None and limit:
            percent = _percent(min(used, limit), limit)
            self._descriptors_percent = max(self._descriptors_percent or 0.0, percent)

    def signals(self) -> WorkerHostSignals:
        wall_ns, waited_ns = self._last_ns - self._start_ns, self._wait.grown
        is_known = waited_ns is not None and wall_ns >= _SHORTEST_WAIT_NS
        return WorkerHostSignals(
            run_queue_wait_percent=_percent(waited_ns or 0, wall_ns) if is_known else None,
            descriptors_percent=self._descriptors_percent,
        )

    def _waited_ns(self) -> int | None:
        try:
            return int((self._proc / "schedstat").read_text().split()[1])
        except (OSError, ValueError, IndexError):
            return None

    def _open_descriptors(self) -> int | None:
        """None where they were not counted this time: to list thousands of them takes milliseconds."""
        self._readings += 1
        try:
            if self._size_is_count:
                return (self._proc / "fd").stat().st_size
            if self._readings % _LIST_EVERY == 1:
                return sum(1 for _ in (self._proc / "fd").iterdir())
        except OSError:
            pass
        return None

    def _most_descriptors(self) -> int | None:
        """The soft limit; None where there is none."""
        try:
            for line in (self._proc / "limits").read_text().splitlines():
                if line.startswith("Max open files"):
                    return int(line.split()[3])
        except (OSError, ValueError, IndexError):
            pass
        return None


def _tcp_sockets(path: Path) -> int | None:
    """From the line `TCP: inuse 6 orphan 0 tw 2 …`; of IPv6 those in TIME_WAIT are counted there as well."""
    try:
        for line in path.read_text().splitlines():
            words = line.split()
            if words and words[0] in ("TCP:", "TCP6:"):
                numbers = dict(zip(words[1::2], words[2::2], strict=False))
                return sum(int(numbers.get(key, 0)) for key in ("inuse", "tw"))
    except (OSError, ValueError):
        pass
    return None


class _Ports:
    """Local ports that connections of this network namespace hold, of those that the kernel gives out."""

    def __init__(self, proc: Path) -> None:
        self._proc = proc
        self._range = self._port_range()
        self._counted_ns: int | None = None
        self.percent: float | None = None

    def read(self, now_ns: int) -> None:
        if self._range is None:
            return
        there = len(self._range)
        sockets = self._sockets()
        if sockets is None:
            return
        percent = min(_percent(sockets, there), 100.0)
        if percent > _MANY_PORTS_PERCENT:
            if self._counted_ns is not None and now_ns - self._counted_ns < _COUNT_PORTS_EVERY_NS:
                return
            self._counted_ns = now_ns
            percent = min(_percent(self._most_to_one_server(self._range), there), 100.0)
        self.percent = max(self.percent or 0.0, percent)

    def _port_range(self) -> range | None:
        try:
            low, high = (self._proc / "sys/net/ipv4/ip_local_port_range").read_text().split()
            ports = range(int(low), int(high) + 1)
        except (OSError, ValueError):
            return None
        return ports or None

    def _sockets(self) -> int | None:
        """TCP sockets of any kind, those in TIME_WAIT included: no fewer than ports are in use."""
        counts = [_tcp_sockets(self._proc / "net" / name) for name in ("sockstat", "sockstat6")]
        known = [count for count in counts if count is not None]
        return sum(known) if known else None

    def _most_to_one_server(self, ports: range) -> int:
        """Ports of the range in use to the one server to which there are most: each has the whole range to itself."""
        used: Counter[tuple[str, str]] = Counter()
        for name in ("tcp", "tcp6"):
            try:
                with (self._proc / "net" / name).open() as file:
                    next(file, None)
                    for line in file:
                        _, local, remote = line.split(maxsplit=3)[:3]
                        address, _, port = local.rpartition(":")
                        if int(port, 16) in ports:
                            used[address, remote] += 1
            except (OSError, ValueError):
                continue
        return max(used.values(), default=0)
