"""What the machine took from the generator, read from a made-up /proc on a clock that is only counted."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from perfcore.metrics.host_signals import HostMeter, HostSignals

SECOND = 1_000_000_000
RANGE = "10000\t10999\n"  # a thousand ports


class Machine:
    """A /proc and a control group of a test's own, with clocks that it turns."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        self.group = folder / "cgroup"
        self.now_ns = self.cpu_ns = 0

    def write(self, name: str, text: str) -> None:
        path = self.proc / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def stat(self, stolen: int, other: int) -> None:
        # A guest's time is in user as well, and counts once.
        self.write("stat", f"cpu  {other - 30} 0 20 10 0 0 0 {stolen} 5 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n")

    def throttle(self, text: str) -> None:
        self.group.mkdir(exist_ok=True)
        (self.group / "cpu.stat").write_text(text)

    def worker(self, pid: int, waited_ns: int, descriptors: int = 0, limit: str = "100") -> None:
        self.write(f"{pid}/schedstat", f"123 {waited_ns} 7\n")
        self.write(f"{pid}/limits", f"Limit  Soft Hard Units\nMax open files  {limit}  4096  files\n")
        for number in range(descriptors):
            self.write(f"{pid}/fd/{number}", "")

    def meter(self, *pids: int) -> HostMeter:
        meter = HostMeter(
            [self.group], proc=self.proc, clock=lambda: self.now_ns, cpu_clock=lambda: self.cpu_ns
        )
        for pid in pids:
            meter.watch(pid)
        return meter

    def after(self, meter: HostMeter, seconds: float) -> HostSignals:
        """The signals when so much more time has passed."""
        self.now_ns += round(seconds * SECOND)
        meter.sample()
        return meter.signals()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_steal_is_a_share_of_all_cores_time_and_the_worst_second_is_known(machine: Machine) -> None:
    machine.stat(1000, 50_000)
    meter = machine.meter()
    for stolen, other in ((1000, 50_200), (1020, 50_380), (1020, 50_580), (1020, 50_780)):
        machine.stat(stolen, other)
        signals = machine.after(meter, 1)
    assert signals.steal_percent == 2.5  # 20 of 800 ticks
    assert signals.worst_steal_percent == 10.0  # 20 of 200


def test_steal_of_less_than_a_second_is_not_told(machine: Machine) -> None:
    machine.stat(0, 1000)
    meter = machine.meter()
    machine.stat(1, 1020)
    signals = machine.after(meter, 0.1)
    assert signals.steal_percent is signals.worst_steal_percent is None


@pytest.mark.parametrize(
    ("before", "after", "percent"),
    [
        ("usage_usec 5\nthrottled_usec 1000\n", "usage_usec 9\nthrottled_usec 21000\n", 1.0),
        ("nr_throttled 1\nthrottled_time 1000\n", "nr_throttled 2\nthrottled_time 20001000\n", 1.0),
        ("throttled_usec 7\n", "throttled_usec 7\n", 0.0),
        ("usage_usec 5\n", "usage_usec 9\n", None),  # version 2 without a limit on CPU
        ("nonsense\n", "nonsense\n", None),
    ],
)
def test_throttled_time_is_of_the_wall_time_in_either_version(
    machine: Machine, before: str, after: str, percent: float | None
) -> None:
    machine.throttle(before)
    meter = machine.meter()
    machine.throttle(after)
    assert machine.after(meter, 2).throttled_percent == percent


def test_what_went_before_the_run_is_in_no_figure(machine: Machine) -> None:
    machine.stat(0, 1000)
    machine.throttle("throttled_usec 0\n")
    meter = machine.meter()
    machine.stat(500, 2000)
    machine.throttle("throttled_usec 1000000\n")
    machine.now_ns, machine.cpu_ns = 5 * SECOND, 5 * SECOND
    meter.begin()
    machine.stat(500, 2200)
    signals = machine.after(meter, 1)
    assert (signals.steal_percent, signals.throttled_percent, signals.supervisor_cpu_percent) == (0, 0, 0)


def test_a_workers_waiting_for_a_core_is_of_the_time_since_it_was_watched(machine: Machine) -> None:
    machine.worker(7, 5 * SECOND)
    machine.worker(8, 0)
    meter = machine.meter(7, 8)
    machine.worker(7, 5 * SECOND + SECOND // 10)
    machine.worker(8, SECOND)
    waits = [worker.run_queue_wait_percent for worker in machine.after(meter, 4).workers]
    assert waits == [2.5, 25.0]


def test_a_worker_that_died_keeps_what_it_had(machine: Machine) -> None:
    machine.worker(7, 0)
    meter = machine.meter(7)
    machine.worker(7, SECOND // 2)
    machine.after(meter, 1)
    (machine.proc / "7/schedstat").unlink()
    meter.forget(0)
    assert machine.after(meter, 9).workers[0].run_queue_wait_percent == 50.0


def test_a_worker_is_not_judged_by_a_few_milliseconds(machine: Machine) -> None:
    machine.worker(7, 0)
    meter = machine.meter(7)
    machine.worker(7, 1_000_000)
    assert machine.after(meter, 0.04).workers[0].run_queue_wait_percent is None


def test_descriptors_are_the_most_of_the_soft_limit(machine: Machine) -> None:
    machine.worker(7, 0, descriptors=85)
    meter = machine.meter(7)
    assert machine.after(meter, 1).workers[0].descriptors_percent == 85.0
    for number in range(80):
        (machine.proc / f"7/fd/{number}").unlink()
    for _ in range(20):
        assert machine.after(meter, 1).workers[0].descriptors_percent == 85.0


def test_no_limit_of_descriptors_is_no_figure(machine: Machine) -> None:
    machine.worker(7, 0, descriptors=5, limit="unlimited")
    assert machine.after(machine.meter(7), 1).workers[0].descriptors_percent is None


def connections(machine: Machine, *lines: tuple[int, str]) -> None:
    """Of this machine's TCP connections local port and remote address, all of them counted as TCP sockets."""
    machine.write("sys/net/ipv4/ip_local_port_range", RANGE)
    machine.write(
        "net/sockstat",
        f"sockets: used 9\nTCP: inuse {len(lines) - 2} orphan 0 tw 2 alloc 9 mem 1\nUDP: inuse 5\n",
    )
    rows = [f"  {at}: 0100007F:{port:04X} {to} 01 00000000:00000000" for at, (port, to) in enumerate(lines)]
    machine.write("net/tcp", "  sl  local_address rem_address   st\n" + "\n".join(rows) + "\n")


SERVER, OTHER = "0100007F:1F90", "0200007F:1F90"


def test_few_sockets_are_an_upper_bound_of_the_ports_in_use(machine: Machine) -> None:
    connections(machine, *((10000 + at, SERVER) for at in range(300)))
    (machine.proc / "net/tcp").unlink()  # not even looked at
    assert machine.after(machine.meter(), 1).ephemeral_ports_percent == 30.0


def test_of_many_sockets_those_count_that_hold_a_port_to_one_server(machine: Machine) -> None:
    accepted = [(8080, f"0100007F:{10000 + at:04X}") for at in range(300)]
    connections(
        machine,
        *((10000 + at, SERVER) for at in range(850)),
        *((10000 + at, OTHER) for at in range(200)),  # the same ports again
        *accepted,
    )
    assert machine.after(machine.meter(), 1).ephemeral_ports_percent == 85.0


def test_every_connection_is_counted_seldom_and_the_most_stays(machine: Machine) -> None:
    connections(machine, *((10000 + at, SERVER) for at in range(850)))
    meter = machine.meter()
    assert machine.after(meter, 1).ephemeral_ports_percent == 85.0
    connections(machine, *((10000 + at, SERVER) for at in range(1000)))
    assert machine.after(meter, 1).ephemeral_ports_percent == 85.0
    assert machine.after(meter, 9).ephemeral_ports_percent == 100.0
    connections(machine, *((10000 + at, SERVER) for at in range(10)))
    assert machine.after(meter, 1).ephemeral_ports_percent == 100.0


def test_the_supervisors_cpu_is_of_one_core(machine: Machine) -> None:
    meter = machine.meter()
    machine.cpu_ns = 3 * SECOND
    assert machine.after(meter, 4).supervisor_cpu_percent == 75.0


def test_a_machine_that_tells_nothing_gives_nothing(machine: Machine) -> None:
    signals = machine.after(machine.meter(7), 1)
    assert signals.supervisor_cpu_percent == 0
    assert [getattr(signals, name) for name in HostSignals.__slots__ if name != "workers"].count(None) == 4
    assert (signals.workers[0].run_queue_wait_percent, signals.workers[0].descriptors_percent) == (None, None)


@pytest.mark.parametrize(
    "name", ["stat", "net/sockstat", "sys/net/ipv4/ip_local_port_range", "7/schedstat", "7/limits"]
)
def test_a_file_of_another_form_gives_nothing(machine: Machine, name: str) -> None:
    machine.stat(0, 1000)
    connections(machine, (10000, SERVER), (10001, SERVER))
    machine.worker(7, 0, descriptors=3)
    for text in ("what is this\n", "", "TCP: inuse some\n", "Max open files x\n"):
        machine.write(name, text)
        machine.after(machine.meter(7), 1)


def test_a_busy_child_that_shares_its_core_has_waited_for_it() -> None:
    """Two that never sleep on one core: each is ready, and not run, for about half of the time."""
    core = min(os.sched_getaffinity(0))
    busy = [sys.executable, "-c", f"import os, time; os.sched_setaffinity(0, {{{core}}}); end = time.time() + 20\n"
            "while time.time() < end: pass"]  # fmt: skip
    children = [subprocess.Popen(busy) for _ in range(2)]
    try:
        time.sleep(0.3)
        meter = HostMeter([])
        for child in children:
            meter.watch(child.pid)
        time.sleep(1)
        meter.sample()
        signals = meter.signals()
    finally:
        for child in children:
            child.kill()
            child.wait()
    waits = [worker.run_queue_wait_percent for worker in signals.workers]
    if None in waits:
        pytest.skip("this kernel has no schedstat")
    assert sum(wait or 0 for wait in waits) > 50
    assert all(0 < (worker.descriptors_percent or 0) < 50 for worker in signals.workers)
    assert 0 <= (signals.supervisor_cpu_percent or 0) < 60
