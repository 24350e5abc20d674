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
import select
import signal
import socket
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from perfcore.engine.case_load import CaseLoad
from perfcore.engine.core_split import keep_to
from perfcore.engine.curl_handle import is_out_of_memory
from perfcore.engine.failure_samples import FailureSampler
from perfcore.engine.load_loop import LoadLoop
from perfcore.engine.loop_watch import LoopWatch
from perfcore.engine.masked_traceback import mask_tracebacks_of_callbacks, masked_traceback
from perfcore.engine.mixed_client import transport_for
from perfcore.engine.open_load import Arrivals
from perfcore.engine.pacing import dealt, pacer_for
from perfcore.engine.plan import RunPlan
from perfcore.engine.poller import ask_for_exact_timers
from perfcore.engine.process_title import name_worker
from perfcore.engine.rate_limit import SharedSlots
from perfcore.engine.scenario import Scenario
from perfcore.engine.throttle import Throttle
from perfcore.engine.transport import Exchange, Request, Transport
from perfcore.metrics.run_memory import (
    ARRIVALS,
    DROPPED,
    FOLDED_BLOCKS,
    IN_FLIGHT,
    MAX_IN_FLIGHT,
    MAX_USERS,
    USERS,
    WARMUP_DROPPED,
    RunMemory,
)
from perfcore.metrics.samples import Rows, SampleFile, SampleWriter
from perfcore.suite.secrets import Masker

PACKET_LIMIT = 1 << 17
# A supervisor that is held up (stopped, or in a callback of the user's) is waited for this long.
SEND_TIMEOUT_S = 600.0
# The supervisor waits a minute for a worker to be ready.
LONGEST_PRECONNECT_S = 30.0
CRASH_TEXT_LIMIT = 16_000
# The exit code of a worker that the machine gave no more memory: it could not be sure of sending a message.
OUT_OF_MEMORY_CODE = 12
_PR_SET_PDEATHSIG = 1
_FULLY_BUFFERED = 0  # _IOFBF of stdio.h


@dataclass(frozen=True, slots=True)
class WorkerJob:
    """What every worker has in its hands after the fork; the same for all."""

    plan: RunPlan
    scenarios: Sequence[Scenario]
    budgets: Mapping[int, "SharedBudget"]  # by test, for those with total_iterations
    memory: RunMemory
    masker: Masker
    seed: int
    sample_paths: Sequence[str]  # with --samples: where each worker writes, by its number
    samples_limit_bytes: int
    rate_limit: SharedSlots | None = None  # limits.max_rate
    spins: bool = True  # waits for arrivals of an open model awake
    cores: frozenset[int] | None = None  # where workers are to stay


class SharedBudget:
    """Iterations that the users of all workers share: an eventfd in semaphore mode, made before the fork.

    Each read takes one, atomically over processes; whoever is free takes the next, and none is lost or taken
    twice whatever happens to a worker.
    """

    def __init__(self, total: int) -> None:
        self._fd = os.eventfd(0, os.EFD_SEMAPHORE | os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        os.eventfd_write(self._fd, total)
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)

    def is_spent(self) -> bool:
        return not self._poll.poll(0)

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
    keep_to(job.cores)
    worker = _Worker(index, channel, job)
    try:
        name_worker(index, job.masker.text(job.plan.suite_name))
        mask_tracebacks_of_callbacks(job.masker)
        worker.serve()
    except Exception as error:  # noqa: BLE001 - whatever it is, the supervisor is told with its traceback
        if is_out_of_memory(error):
            return OUT_OF_MEMORY_CODE
        worker.send({"crash": masked_traceback(error, job.masker, CRASH_TEXT_LIMIT)})
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
    _buffer_stdout()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ask_for_exact_timers()
    # Of a connection whose TLS ends behind its user's back; pycurl closes the socket itself, and that is noticed.
    warnings.filterwarnings("ignore", "closesocket_callback failed", RuntimeWarning)
    # Nothing in the loop makes cycles; a collection in mid-run would be a pause in the figures.
    gc.freeze()
    gc.disable()


def _buffer_stdout() -> None:
    """Where C stdout has no buffer (PYTHONUNBUFFERED sees to that), each body that is thrown away is a system call."""
    libc = ctypes.CDLL(None)
    libc.setvbuf(ctypes.c_void_p.in_dll(libc, "stdout"), None, _FULLY_BUFFERED, ctypes.c_size_t(1 << 16))


class _Worker:
    def __init__(self, index: int, channel: socket.socket, job: WorkerJob) -> None:
        self._index = index
        self._channel = channel
        self._job = job
        self._memory = job.memory
        self._sample_file: SampleFile | None = None
        self._writer = SampleWriter(job.memory.rings[index], self._fold_stalled)

    def send(self, message: Mapping[str, Any]) -> None:
        """Tell the supervisor what it has to know; while it is held up this waits. Not for use under load."""
        packet = json.dumps(message).encode()
        deadline = time.monotonic() + SEND_TIMEOUT_S
        while not self._try_send(packet):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise TimeoutError(f"the supervisor has read nothing for {SEND_TIMEOUT_S:.0f} s")
            poller = select.poll()
            poller.register(self._channel, select.POLLOUT)
            poller.poll(left_s * 1000)

    def send_if_room(self, message: Mapping[str, Any]) -> None:
        """Tell the supervisor; what does not fit the packet or the queue is dropped, never waited for."""
        packet = json.dumps(message).encode()
        if len(packet) <= PACKET_LIMIT:
            self._try_send(packet)

    def _try_send(self, packet: bytes) -> bool:
        try:
            self._channel.send(packet, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except (BrokenPipeError, ConnectionResetError):
            pass  # nobody is left to be told
        return True

    def _receive(self) -> dict[str, Any]:
        packet = self._channel.recv(PACKET_LIMIT)
        message: dict[str, Any] = json.loads(packet) if packet else {"quit": True}
        return message

    def serve(self) -> None:
        while "deals" in (message := self._receive()):
            transport = transport_for(
                {int(case): self._job.plan.cases[int(case)].engine for case in message["deals"]}
            )
            loads = [self._load(int(case), rank, of) for case, (rank, of) in message["deals"].items()]
            self._writer.touch()
            transport.rehearse()
            self._preconnect(transport, message["deals"])
            self.send({"ready": True})
            message = self._receive()
            if "start_ns" in message:
                self._run_phase(transport, loads, message["start_ns"])
            transport.close()
            if "quit" in message:
                break
        if self._sample_file is not None:
            self._sample_file.close()

    def _run_phase(self, transport: Transport, loads: list[CaseLoad], start_ns: int) -> None:
        """Wait for the common start instant, run to the end, tell how it went."""
        for load in loads:
            self._begin(load, start_ns)
        sampler = FailureSampler(self._job.masker, transport, start_ns, self.send_if_room)

        def longest_pass_ns() -> int:
            return max(loop.longest_pass_ns, transport.longest_pass_ns)

        def keep_house(now_ns: int) -> bool:
            self._set_gauges(loads)
            self._end_early(loads)
            behind_ns = max(now_ns - load.next_arrival_ns for load in loads)
            watch.look(now_ns, spun_ns=loop.spun_ns, longest_pass_ns=longest_pass_ns(), behind_ns=behind_ns)
            return self._memory.stop_requested

        loop = LoadLoop(
            loads,
            transport,
            self._writer,
            clock=time.monotonic_ns,
            on_failure=sampler.note,
            on_housekeeping=keep_house,
            throttle=None if self._job.rate_limit is None else Throttle(self._job.rate_limit),
            spins=self._job.spins,
        )
        _sleep_until(start_ns)
        watch = LoopWatch(self._memory, self._index, time.monotonic_ns())
        with watch.garbage:
            loop.run()
        watch.end(time.monotonic_ns(), spun_ns=loop.spun_ns, longest_pass_ns=longest_pass_ns())
        self._writer.finish()
        self._set_gauges(loads)
        addresses, versions = transport.addresses(), transport.http_versions()
        emptied_jars, recognised = transport.emptied_jars(), transport.recognised()
        # A packet a test: of hundreds that run together, one packet would not hold all.
        for load in loads:
            self.send(
                {
                    "end": load.index,
                    "reached_end": load.reached_end or load.was_stopped or self._lasts_by_plan(load.index),
                    "addresses": addresses.get(load.index, {}),
                    "http_versions": versions.get(load.index, {}),
                    "emptied_jars": emptied_jars.get(load.index, 0),
                    "recognised": recognised.get(load.index, 0),
                }
            )
        file = self._sample_file
        self.send(
            {
                "done": True,
                "samples_left_out": 0 if file is None else file.dropped_rows,
                "samples_error": None if file is None else file.error,
            }
        )

    def _lasts_by_plan(self, case_index: int) -> bool:
        """Whether its load lasts as long as the plan says, though nobody may be busy up to the end."""
        case = self._job.plan.cases[case_index].case
        return case.is_open or case.stages is not None

    def _begin(self, load: CaseLoad, start_ns: int) -> None:
        duration_s = self._job.plan.cases[load.index].duration_s
        end_ns = None if duration_s is None else start_ns + round(duration_s * 1e9)
        load.begin_at(start_ns, end_ns)
        figures = self._memory.accumulators[self._index].tests[load.index]
        case = self._job.plan.cases[load.index].case
        figures.begin(start_ns, end_ns, round(case.warmup_s * 1e9))
        if load.arrivals is not None:
            load.arrivals.counted_from_ns = figures.measured_from_ns
        # The supervisor notes a stop here as well; one that came just before `begin` would be overwritten.
        if self._memory.stop_ns is not None:
            figures.end_by(self._memory.stop_ns)

    def _load(self, case_index: int, rank: int, of: int) -> CaseLoad:
        case = self._job.plan.cases[case_index].case
        pacer = pacer_for(case)
        seed = f"{self._job.seed}:{case_index}"
        offsets = pacer.arrivals(rank, of, f"{seed}:arrivals")
        return CaseLoad(
            case_index,
            source=self._job.scenarios[case_index],
            pacer=pacer,
            expectation=case.expect,
            starts=pacer.starts(rank, of),
            iterations=None if case.total_iterations is not None else case.effective_iterations,
            budget=self._job.budgets.get(case_index),
            graceful_stop_ns=round(case.graceful_stop_s * 1e9),
            draw=random.Random(f"{seed}:worker {rank} of {of}"),
            arrivals=None if offsets is None else Arrivals(offsets, dealt(case.most_users, rank, of)),
            is_throttled=self._job.rate_limit is not None,
            retries=case.retries > 0,
        )

    def _preconnect(self, transport: Transport, deals: Mapping[str, Sequence[int]]) -> None:
        """Have connections stand for the users of the tests that want them, before the common start."""
        deadline = time.monotonic() + LONGEST_PRECONNECT_S
        for index, (rank, of) in deals.items():
            case = self._job.plan.cases[int(index)].case
            if case.preconnect:
                left_s = max(0.0, deadline - time.monotonic())
                requests = self._first_requests(int(index), dealt(case.users_to_preconnect, rank, of))
                transport.preconnect(int(index), requests, min(case.connect_timeout_s, left_s))

    def _first_requests(self, case_index: int, users: Iterable[int]) -> Iterator[tuple[int, Request]]:
        """What users will send first, rendered for throwaway ones: where to, and with which credentials."""
        scenario = self._job.scenarios[case_index]
        for at in users:
            yield at + 1, scenario.request_for(Exchange(at + 1, case_index, None))

    def _end_early(self, loads: Sequence[CaseLoad]) -> None:
        """Tests that the supervisor has enough of: they end as if that instant had been planned."""
        for load in loads:
            end_ns = self._memory.test_end_ns(load.index)
            if end_ns is not None and end_ns < load.end_ns:
                load.end_ns = end_ns

    def _set_gauges(self, loads: Sequence[CaseLoad]) -> None:
        for load in loads:
            self._memory.set_gauge(self._index, load.index, USERS, load.users)
            self._memory.set_gauge(self._index, load.index, IN_FLIGHT, load.in_flight)
            self._memory.set_gauge(self._index, load.index, MAX_IN_FLIGHT, load.max_in_flight)
            self._memory.set_gauge(self._index, load.index, MAX_USERS, load.max_users)
            if load.arrivals is not None:
                self._memory.set_gauge(self._index, load.index, ARRIVALS, load.arrivals.taken)
                self._memory.set_gauge(self._index, load.index, DROPPED, load.arrivals.dropped)
                left_out = load.arrivals.warmup_dropped
                self._memory.set_gauge(self._index, load.index, WARMUP_DROPPED, left_out)

    def _fold_stalled(self, rows: Rows) -> None:
        """The supervisor has left no block free: count this one here, so that nothing waits and nothing is lost."""
        memory = self._memory
        if self._job.sample_paths:
            if self._sample_file is None:
                path = self._job.sample_paths[self._index]
                self._sample_file = SampleFile(path, self._job.samples_limit_bytes)
            self._sample_file.write(rows)
        memory.accumulators[self._index].fold(rows)
        memory.set_worker_word(self._index, FOLDED_BLOCKS, memory.worker_word(self._index, FOLDED_BLOCKS) + 1)


def _sleep_until(start_ns: int) -> None:
    while (left_ns := start_ns - time.monotonic_ns()) > 0:
        time.sleep(left_ns / 1e9)
