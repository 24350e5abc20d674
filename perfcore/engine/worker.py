"""A worker process: forked once for the suite, it runs its deal of each phase when the supervisor says so.

The supervisor's messages and the worker's answers are JSON packets on a socket; samples and gauges go through
shared memory. A worker ends with its supervisor, however that ended (PR_SET_PDEATHSIG, then a look at getppid
for the supervisor that was gone before the call).
"""

import ctypes
import gc
import json
import os
import random
import resource
import signal
import socket
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from perfcore.engine.failure_samples import FailureSampler
from perfcore.engine.http_client import HttpClient
from perfcore.engine.load_loop import CaseLoad, LoadLoop
from perfcore.engine.pacing import pacer_for
from perfcore.engine.plan import RunPlan
from perfcore.engine.poller import Poller, ask_for_exact_timers
from perfcore.engine.scenario import Scenario
from perfcore.engine.transport import Exchange
from perfcore.metrics.run_memory import FOLDED_BLOCKS, IN_FLIGHT, MAX_IN_FLIGHT, USERS, RunMemory
from perfcore.metrics.samples import Rows, SampleFile, SampleWriter
from perfcore.suite.secrets import Masker

PACKET_LIMIT = 1 << 17
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class WorkerJob:
    """What every worker has in its hands after the fork; the same for all."""

    plan: RunPlan
    scenarios: Sequence[Scenario]
    budgets: Mapping[int, "SharedBudget"]  # by test, for those with total_iterations
    memory: RunMemory
    masker: Masker
    seed: int
    sample_path: str | None  # with --samples: `{worker}` is replaced by the worker's number
    samples_limit_bytes: int


class SharedBudget:
    """Iterations that the users of all workers share: an eventfd in semaphore mode, made before the fork.

    Each read takes one, atomically over processes; whoever is free takes the next, and none is lost or taken
    twice whatever happens to a worker.
    """

    def __init__(self, total: int) -> None:
        self._fd = os.eventfd(0, os.EFD_SEMAPHORE | os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        os.eventfd_write(self._fd, total)

    def take(self) -> bool:
        try:
            os.eventfd_read(self._fd)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        os.close(self._fd)


def worker_main(index: int, channel: socket.socket, supervisor_pid: int, job: WorkerJob) -> int:
    """Serve the supervisor until it says `quit` or goes; returns the process's exit code."""
    become_worker(supervisor_pid)
    worker = _Worker(index, channel, job)
    try:
        worker.serve()
    except Exception:  # noqa: BLE001 - whatever it is, the supervisor is told with its traceback
        worker.send({"crash": traceback.format_exc()})
        return 1
    return 0


def become_worker(supervisor_pid: int) -> None:
    """Settle the fresh process: it dies with its supervisor and leaves signals of the terminal to it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != supervisor_pid:
        os._exit(1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)  # libcurl writes the bodies that nobody looks at to C stdout
    os.close(null)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ask_for_exact_timers()
    # Nothing in the loop makes cycles; a collection in mid-run would be a pause in the figures.
    gc.freeze()
    gc.disable()


class _Worker:
    def __init__(self, index: int, channel: socket.socket, job: WorkerJob) -> None:
        self._index = index
        self._channel = channel
        self._job = job
        self._memory = job.memory
        self._sample_file: SampleFile | None = None
        self._writer = SampleWriter(job.memory.rings[index], self._fold_stalled)

    def send(self, message: Mapping[str, Any]) -> None:
        """Tell the supervisor; a message that does not fit the packet or the queue is dropped, never waited for."""
        packet = json.dumps(message).encode()
        if len(packet) <= PACKET_LIMIT:
            with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                self._channel.send(packet, socket.MSG_DONTWAIT)

    def serve(self) -> None:
        while True:
            packet = self._channel.recv(PACKET_LIMIT)
            message: dict[str, Any] = json.loads(packet) if packet else {"quit": True}
            if "quit" in message:
                break
            self._run_phase(message["deals"])
        if self._sample_file is not None:
            self._sample_file.close()

    def _run_phase(self, deals: Mapping[str, tuple[int, int]]) -> None:
        """Get ready, wait for the common start instant, run to the end, tell how it went."""
        transport = HttpClient(Poller())
        self.send({"ready": True})
        packet = self._channel.recv(PACKET_LIMIT)
        if not packet:
            return
        start_ns = json.loads(packet)["start_ns"]
        loads = [self._load(int(case), rank, of, start_ns) for case, (rank, of) in deals.items()]
        sampler = FailureSampler(self._job.masker, transport, start_ns, self.send)

        def note_failure(exchange: Exchange, _kind: str, text: str) -> None:
            sampler.note(exchange, text)

        def keep_house(_now_ns: int) -> bool:
            self._set_gauges(loads)
            return self._memory.stop_requested

        loop = LoadLoop(
            loads,
            transport,
            self._writer,
            clock=time.monotonic_ns,
            on_failure=note_failure,
            on_housekeeping=keep_house,
        )
        _sleep_until(start_ns)
        loop.run()
        addresses = transport.addresses()
        transport.close()
        self._writer.finish()
        self._set_gauges(loads)
        left_out = 0 if self._sample_file is None else self._sample_file.dropped_rows
        ends = {
            str(load.index): {"reached_end": load.reached_end, "addresses": addresses.get(load.index, {})}
            for load in loads
        }
        self.send({"done": ends, "samples_left_out": left_out})

    def _load(self, case_index: int, rank: int, of: int, start_ns: int) -> CaseLoad:
        plan = self._job.plan.cases[case_index]
        case = plan.case
        end_ns = None if plan.duration_s is None else start_ns + round(plan.duration_s * 1e9)
        self._memory.accumulators[self._index].tests[case_index].begin(start_ns, end_ns)
        pacer = pacer_for(case)
        return CaseLoad(
            case_index,
            source=self._job.scenarios[case_index],
            pacer=pacer,
            expectation=case.expect,
            starts=pacer.starts(rank, of),
            iterations=None if case.total_iterations is not None else case.effective_iterations,
            budget=self._job.budgets.get(case_index),
            start_ns=start_ns,
            end_ns=end_ns,
            graceful_stop_ns=round(case.graceful_stop_s * 1e9),
            draw=random.Random(f"{self._job.seed}:{case_index}:worker {rank} of {of}"),
        )

    def _set_gauges(self, loads: Sequence[CaseLoad]) -> None:
        for load in loads:
            self._memory.set_gauge(self._index, load.index, USERS, load.users)
            self._memory.set_gauge(self._index, load.index, IN_FLIGHT, load.in_flight)
            self._memory.set_gauge(self._index, load.index, MAX_IN_FLIGHT, load.max_in_flight)

    def _fold_stalled(self, rows: Rows) -> None:
        """The supervisor has left no block free: count this one here, so that nothing waits and nothing is lost."""
        memory = self._memory
        if self._job.sample_path is not None:
            if self._sample_file is None:
                path = self._job.sample_path.format(worker=self._index)
                self._sample_file = SampleFile(path, self._job.samples_limit_bytes)
            self._sample_file.write(rows)
        memory.accumulators[self._index].fold(rows)
        memory.set_worker_word(self._index, FOLDED_BLOCKS, memory.worker_word(self._index, FOLDED_BLOCKS) + 1)


def _sleep_until(start_ns: int) -> None:
    while (left_ns := start_ns - time.monotonic_ns()) > 0:
        time.sleep(left_ns / 1e9)
