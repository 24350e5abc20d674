"""The loop of a worker: start what is due, take what has ended, judge it, record it, say when it is due next.

It knows no protocol (a Transport carries the requests), no clock of its own and no process: tests drive it with
a FakeTransport and a FakeClock. What a test does not use costs nothing in it: the decisions are made once, in
CaseLoad, when the loop is put together.
"""

import heapq
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from perfcore.engine.case_load import CaseLoad
from perfcore.engine.open_load import Arrivals
from perfcore.engine.retrying import BackingOff, wants_retry
from perfcore.engine.throttle import Throttle
from perfcore.engine.transport import Exchange, Transport
from perfcore.metrics.outcomes import CODE
from perfcore.metrics.samples import CHECKS, INTERRUPTED, SampleWriter

Clock = Callable[[], int]

# How often the loop looks up from its work: hands over rows, sets gauges, sees a stop.
HOUSEKEEPING_NS = 50_000_000
# Rows are given over at least so often. To count a few costs the supervisor 2 ms, as thousands of them do, on a core
# on which a worker may be waiting: ten times a second would show in the p99.
HAND_OVER_NS = 500_000_000
# The last stretch before an arrival is spun through: whoever sleeps until an instant wakes up after it.
SPIN_S = 0.001
# Of it the very last is waited through without a look at anything but the clock, which takes 50 ns or more.
_LAST_NS = 15_000
_LAST_LOOKS = 400
# Due users started in one go before completions get their turn.
STARTS_PER_PASS = 64
# At the end of a load, so many goes are started that were due: a loop that was held up for a moment, and not one that
# cannot keep up with its schedule.
_LATE_PASSES = 16
_ALL_CHECKS = (1 << CHECKS) - 1


class Recorder(Protocol):
    """Where finished exchanges go: a SampleWriter."""

    def write(self, samples: Iterable[Exchange]) -> None: ...

    def hand_over(self) -> None: ...


class LoadLoop:
    """Runs the given tests at the same time, to their end. `on_failure(exchange, text)` hears of failures,
    `on_housekeeping(now_ns)` is called every 50 ms and returns whether to stop. `spins`: wait for arrivals of an open
    model awake."""

    def __init__(
        self,
        loads: list[CaseLoad],
        transport: Transport,
        recorder: Recorder,
        *,
        clock: Clock,
        on_failure: Callable[[Exchange, str], None],
        on_housekeeping: Callable[[int], bool],
        throttle: Throttle | None = None,
        spins: bool = True,
        cpu_clock: Clock = time.process_time_ns,
    ) -> None:
        self._cpu_clock = cpu_clock
        self._loads = loads
        self._transport = transport
        self._start = transport.start
        self._recorder = recorder
        self._clock = clock
        self._on_failure = on_failure
        self._on_housekeeping = on_housekeeping
        self._waiting: list[tuple[int, int, Exchange]] = []  # (due, tie-breaker, exchange), a heap
        self._order = 0
        self._backing_off = BackingOff()
        self._some_retry = any(load.retries for load in loads)
        self._throttle = throttle
        self._early_s = SPIN_S if spins and any(load.arrivals is not None for load in loads) else 0.0
        self._housekeeping_ns = 0
        self._hand_over_ns = 0
        self.spun_ns = 0
        """CPU time that it spent on waiting awake."""
        self.longest_pass_ns = 0
        """Of its own, from when it was given completions until it waits again; the transport knows of its own."""
        if throttle is None and isinstance(recorder, SampleWriter):
            for load in loads:
                load.cycle = load.plain_cycle(recorder)

    def run(self) -> None:
        """Until every test is through: users done or time over, and nothing in flight."""
        clock = self._clock
        returned_ns, spins, spun_from_ns = clock(), False, 0
        while True:
            now_ns = clock()
            spun_from_ns = self._note_spin(spun_from_ns) if spins else 0
            if now_ns >= self._housekeeping_ns:
                self._keep_house(now_ns)
                if self._is_over():
                    return
            wait_until_ns = self._start_due(now_ns)
            before_ns = clock()
            if before_ns - returned_ns > self.longest_pass_ns:
                self.longest_pass_ns = before_ns - returned_ns
            if self._early_s and 0 < wait_until_ns - before_ns < _LAST_NS and self._wait_for(wait_until_ns):
                continue
            timeout_s = (wait_until_ns - before_ns) / 1e9 - self._early_s
            completed = self._transport.poll(timeout_s if timeout_s > 0 else 0.0)
            # Of a pass in which nothing was due and nothing had come the time was waited for.
            spins = timeout_s <= 0 and not completed and wait_until_ns > before_ns
            returned_ns = before_ns if spins else clock()
            if completed:
                self._take(completed)
            if not self._waiting and all(load.is_started and not load.in_flight for load in self._loads):
                self._housekeeping_ns = 0  # everything may be over: look at once

    def _wait_for(self, until_ns: int) -> bool:
        """The very last stretch: to look for answers takes longer. Whether the instant was reached."""
        clock = self._clock
        return any(clock() >= until_ns for _ in range(_LAST_LOOKS))

    def _note_spin(self, from_ns: int) -> int:
        """A pass in which nothing happened is over. Of several the first is not known: it costs as little as any."""
        cpu_ns = self._cpu_clock()  # and not the time that passed: while others had the core it did not spin
        if from_ns:
            self.spun_ns += cpu_ns - from_ns
        return cpu_ns

    def _is_over(self) -> bool:
        return (
            not self._transport.in_flight
            and not self._waiting
            and not self._backing_off
            and not self._throttle
            and all(load.is_started for load in self._loads)
        )

    # -- starting ---------------------------------------------------------------------------------------------

    def _start_due(self, now_ns: int) -> int:
        """Start what is due, and say until when nothing else will be."""
        next_ns = self._housekeeping_ns
        if self._throttle:
            self._let_through(self._throttle, now_ns)
        for load in self._loads:
            if load.arrivals is not None:
                next_ns = min(next_ns, self._start_arrivals(load, load.arrivals, now_ns))
            started = 0
            while load.next_start is not None and load.next_start[0] <= now_ns:
                self._begin_user(load)
                started += 1
                if started == STARTS_PER_PASS:
                    break
            if load.next_start is not None and load.next_start[0] < next_ns:
                next_ns = load.next_start[0]
        waiting = self._waiting
        started = 0
        while waiting and waiting[0][0] <= now_ns and started < STARTS_PER_PASS:
            due_ns, _, exchange = heapq.heappop(waiting)
            exchange.waits = False
            self._resume(exchange, due_ns)
            started += 1
        if waiting and waiting[0][0] < next_ns:
            next_ns = waiting[0][0]
        if self._backing_off:
            next_ns = self._try_again(now_ns, next_ns)
        return min(next_ns, self._throttle.next_ns) if self._throttle else next_ns

    def _let_through(self, throttle: Throttle, now_ns: int) -> None:
        """Whoever is given an instant comes back at it: a user for its next request, a request for its next try."""
        for exchange, slot_ns in throttle.grants(now_ns):
            if exchange.under_way:
                self._backing_off.put(exchange, slot_ns)
            else:
                self._wait(exchange, slot_ns)

    def _try_again(self, now_ns: int, next_ns: int) -> int:
        """Start the next try of requests whose backoff is over."""
        backing_off = self._backing_off
        for _ in range(STARTS_PER_PASS):
            if not backing_off or backing_off.next_ns > now_ns:
                break
            exchange = backing_off.pop()
            if self._throttle is not None and self._throttle.holds(exchange):
                continue
            assert exchange.request is not None
            exchange.earlier.add(exchange)
            self._start(exchange, exchange.request)
        return min(next_ns, backing_off.next_ns) if backing_off else next_ns

    def _start_arrivals(self, load: CaseLoad, arrivals: Arrivals, now_ns: int) -> int:
        """Start what has arrived with the users who are free, drop it where there is none; when the next one is due."""
        started = 0
        while arrivals.next_ns <= now_ns and started < STARTS_PER_PASS:
            due_ns = arrivals.take()
            exchange = arrivals.free.pop() if arrivals.free else load.another_user()
            if exchange is None:
                arrivals.drop(due_ns)
                continue
            load.add_user()
            self._resume(exchange, due_ns)
            arrivals.look_ahead()
            started += 1
        return arrivals.next_ns

    def _start_late(self, load: CaseLoad, arrivals: Arrivals) -> None:
        """The load is at its end: start what was due before it, as far as that is not more than was ever held up."""
        for _ in range(_LATE_PASSES):
            if arrivals.next_ns >= load.end_ns:
                break
            self._start_arrivals(load, arrivals, load.end_ns - 1)

    def _begin_user(self, load: CaseLoad) -> None:
        begun = load.begin_next_user()
        assert begun is not None
        due_ns, user = begun
        if user < 0:
            self._end_early(load, load.user(-user))
            return
        exchange = load.user(user)
        if exchange.ends and (exchange.under_way or exchange.waits):
            # It was to end and has not yet: it goes on.
            exchange.ends = False
            if exchange.waits:
                load.add_user()
            return
        exchange.ends = False
        load.add_user()
        self._resume(exchange, due_ns)

    def _end_early(self, load: CaseLoad, exchange: Exchange) -> None:
        """The user is to end: with the iteration that is under way, else at once."""
        if exchange.ends or not (exchange.under_way or exchange.waits):
            return
        exchange.ends = True
        if exchange.under_way:
            self._transport.hand_back(exchange)
        else:
            load.users -= 1

    def _resume(self, exchange: Exchange, due_ns: int) -> None:
        """Let a user who waited go on."""
        load: CaseLoad = exchange.load
        if exchange.ends:
            if self._throttle is not None:
                self._throttle.take_back(exchange)
            return
        if self._throttle is not None and self._has_to_wait(exchange, load, self._throttle, due_ns):
            return
        if self._send_next(exchange, load, due_ns):
            exchange.under_way = True
            load.in_flight += 1
            if load.in_flight > load.max_in_flight:
                load.max_in_flight = load.in_flight

    def _has_to_wait(self, exchange: Exchange, load: CaseLoad, throttle: Throttle, due_ns: int) -> bool:
        """Whether the user is to come back at an instant that the limit gives it, which is then its due time."""
        if due_ns >= load.end_ns or load.stopping or exchange.iteration >= load.iterations:
            return False  # it ends, and takes no instant from anybody
        return throttle.holds(exchange)

    def _wait(self, exchange: Exchange, due_ns: int) -> None:
        self._order += 1
        exchange.waits = True
        heapq.heappush(self._waiting, (due_ns, self._order, exchange))

    def _send_next(self, exchange: Exchange, load: CaseLoad, due_ns: int) -> bool:
        """Begin the user's next iteration; False when there is none and the user has ended."""
        if (
            due_ns >= load.end_ns
            or load.stopping
            or exchange.ends
            or exchange.iteration >= load.iterations
            or (load.budget is not None and not load.budget.take())
        ):
            load.end_user(due_ns)
            return False
        exchange.iteration += 1
        exchange.due_ns = due_ns
        request = exchange.request = load.constant or load.source.request_for(exchange)
        self._start(exchange, request)
        return True

    # -- completions ------------------------------------------------------------------------------------------

    def _take(self, completed: list[Exchange]) -> None:
        self._conclude(self._final(completed) if self._some_retry else completed)

    def _conclude(self, completed: list[Exchange]) -> None:
        """Judge and record outcomes that stand, and say when their users are due next."""
        judged_wrong: list[Exchange] = []
        for exchange in completed:
            load: CaseLoad = exchange.load
            if exchange.error:
                self._on_failure(exchange, exchange.error_text)
            elif load.judges_more:
                if self._breaks(exchange, load):
                    judged_wrong.append(exchange)
            elif not load.accepted[exchange.status]:
                exchange.error = CODE["expectation:status"]
                exchange.failed_checks = 1
                judged_wrong.append(exchange)
                self._on_failure(exchange, "")
            if exchange.seeks and not exchange.error:
                self._seek(exchange)
        self._recorder.write(completed)
        for exchange in judged_wrong:
            exchange.failed_checks = 0
        if self._some_retry:
            for exchange in completed:
                if exchange.earlier is not None:
                    exchange.earlier.restore(exchange)
        for exchange in completed:
            load = exchange.load
            if load.arrivals is not None:
                load.arrivals.free.append(exchange)
                load.users -= 1
            elif load.immediate:
                # It stays under way: of what happens per request, the least.
                if self._send_next(exchange, load, exchange.done_ns):
                    continue
            elif load.stopping or exchange.ends or exchange.iteration >= load.iterations:
                load.end_user(exchange.done_ns)
            else:
                self._wait(exchange, load.pacer.next_due_ns(exchange.due_ns, exchange.done_ns, load.draw))
            exchange.under_way = False
            load.in_flight -= 1

    def _seek(self, exchange: Exchange) -> None:
        """A sample of a failure is wanted, and this was none: keep the user's next answer too."""
        exchange.seeks -= 1
        if exchange.seeks:
            self._transport.keep_next(exchange)

    def _final(self, completed: list[Exchange]) -> list[Exchange]:
        """Those whose outcome stands, with what their earlier tries cost; the others are kept for another try."""
        final = []
        for exchange in completed:
            request, load = exchange.request, exchange.load
            policy = request.settings.retry if request is not None else None
            if policy is not None and not load.stopping and wants_retry(exchange, policy, load.accepted):
                self._backing_off.hold(exchange, policy, load.draw)
                if exchange.seeks:
                    self._seek(exchange)
                continue
            if exchange.earlier is not None:
                exchange.earlier.settle(exchange)
            final.append(exchange)
        return final

    def _end_tries(self, load: CaseLoad) -> None:
        """Nothing more is started: of requests between two tries the outcome of the last one stands."""
        between = self._backing_off.forget(load)
        if self._throttle is not None:
            between += self._throttle.drop_tries(load)
        for exchange in between:
            exchange.earlier.settle(exchange)
        if between:
            self._conclude(between)

    def _breaks(self, exchange: Exchange, load: CaseLoad) -> bool:
        response_s = (exchange.done_ns - exchange.due_ns) / 1e9
        answer = (exchange.status, exchange.headers, exchange.body, response_s)
        if load.is_right(*answer):
            return False
        expectation = load.expectation
        broken = expectation.first_broken(*answer)
        if broken is None:
            return False
        exchange.error = CODE[f"expectation:{broken[0]}"]
        failed = expectation.failed_checks(*answer)
        # Of more checks than a row has bits, the last bit stands for all further ones.
        exchange.failed_checks = failed if failed <= _ALL_CHECKS else failed & _ALL_CHECKS | 1 << (CHECKS - 1)
        self._on_failure(exchange, broken[1])
        return True

    # -- ends -------------------------------------------------------------------------------------------------

    def _keep_house(self, now_ns: int) -> None:
        self._housekeeping_ns = now_ns + HOUSEKEEPING_NS
        stop = self._on_housekeeping(now_ns)
        for load in self._loads:
            if stop or now_ns >= load.end_ns:
                if load.arrivals is not None and not stop and not load.stopping:
                    self._start_late(load, load.arrivals)
                load.stop(now_ns if stop else load.end_ns)
            if load.budget is not None and load.budget.is_spent():
                load.next_start = None
                self._end_waiting_users(load)
            if load.stopping:
                self._end_waiting_users(load)
                self._end_tries(load)
                if now_ns >= load.cut_ns:
                    self._cut(load, now_ns)
            if now_ns < load.end_ns < self._housekeeping_ns:
                self._housekeeping_ns = load.end_ns
            if now_ns < load.cut_ns < self._housekeeping_ns:
                self._housekeeping_ns = load.cut_ns
        if now_ns >= self._hand_over_ns:
            self._hand_over_ns = now_ns + HAND_OVER_NS
            self._recorder.hand_over()

    def _end_waiting_users(self, load: CaseLoad) -> None:
        staying = [entry for entry in self._waiting if entry[2].load is not load]
        ended = sum(1 for _, _, exchange in self._waiting if exchange.load is load and not exchange.ends)
        if len(staying) < len(self._waiting):
            heapq.heapify(staying)
            self._waiting = staying
        if self._throttle is not None:
            ended += self._throttle.drop_idle(load)
        load.users -= ended

    def _cut(self, load: CaseLoad, now_ns: int) -> None:
        """Give up what is still under way; it is recorded as interrupted, and in no total."""
        self._take(self._transport.poll(0.0))  # what has ended is not under way
        cut = [exchange for exchange in load.exchanges if exchange.under_way]
        for exchange in cut:
            self._transport.cut(exchange)
            exchange.under_way = False
            exchange.done_ns = now_ns
            exchange.flags = INTERRUPTED
            # What the slot still holds of its last request is not true of this one.
            exchange.status = exchange.error = 0
            exchange.received_bytes = exchange.sent_bytes = 0
            exchange.dns_us = exchange.connect_us = exchange.tls_us = exchange.ttfb_us = 0
            exchange.attempts, exchange.connections, exchange.earlier_us = 1, 0, 0
            exchange.earlier = None
        self._recorder.write(cut)
        load.users -= len(cut)
        load.in_flight = 0
