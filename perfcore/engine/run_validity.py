"""What the supervisor knows of the generator, put to `judge`: how far the figures of a run can be trusted."""

import socket
from collections.abc import Iterable, Sequence
from contextlib import closing
from ipaddress import ip_address
from typing import Any

from perfcore.engine.name_addresses import names_of_several
from perfcore.engine.plan import CasePlan
from perfcore.engine.run_document import RunNotes, TestNotes
from perfcore.metrics.environment import usable_cores
from perfcore.metrics.host_signals import HostSignals
from perfcore.metrics.measured_document import stall_share_of
from perfcore.metrics.metrics_collector import TestFigures
from perfcore.metrics.run_memory import (
    BUSY_NS,
    LONGEST_GC_NS,
    LONGEST_PASS_NS,
    WALL_NS,
    WORST_BUSY_PPM,
    RunMemory,
)
from perfcore.metrics.statistics import quantile_fraction
from perfcore.metrics.validity import RunSignals, TestSignals, WorkerSignals, judge
from perfcore.metrics.worker_spread import WorkerSpread
from perfcore.suite.secrets import Masker
from perfcore.suite.test_suite import TestSuite

_SHORTEST_TOLD_NS = 1_000_000_000


def run_validity(
    suite: TestSuite,
    plans: Sequence[CasePlan],
    figures: Sequence[TestFigures],
    notes: RunNotes,
    host: HostSignals,
    memory: RunMemory,
    spread: WorkerSpread,
    masker: Masker,
) -> dict[str, Any]:
    """The `validity` object of the result, after the run."""
    began = [at for at in range(len(plans)) if notes.tests[at].began]
    addresses = {address for at in began for address in notes.tests[at].addresses}
    run = RunSignals(
        workers=tuple(
            WorkerSignals(
                **_loop_signals(memory, index),
                run_queue_wait_percent=worker.run_queue_wait_percent,
                descriptors_percent=worker.descriptors_percent,
            )
            for index, worker in enumerate(host.workers)
        ),
        steal_percent=host.steal_percent,
        worst_steal_percent=host.worst_steal_percent,
        throttled_percent=host.throttled_percent,
        supervisor_cpu_percent=host.supervisor_cpu_percent,
        ephemeral_ports_percent=host.ephemeral_ports_percent,
        target_is_here=any(plans[at].case.unix_socket for at in began) or any_is_here(addresses),
        names_of_several=tuple(
            masker.text(name)
            for name in names_of_several((plans[at], notes.tests[at].addresses) for at in began)
        ),
        usable_cores=usable_cores(),
    )
    is_cut_short = notes.interrupted_by is not None or notes.aborted_by is not None
    throttled = suite.limits.max_rate_per_s is not None
    tests = [
        _test_signals(
            plans[at],
            figures[at],
            notes.tests[at],
            spread.p99_ms(at),
            is_cut_short=is_cut_short,
            throttled=throttled,
        )
        for at in began
    ]
    return judge(run, tests)


def _test_signals(
    plan: CasePlan,
    figures: TestFigures,
    notes: TestNotes,
    worker_p99_ms: tuple[float, ...],
    *,
    is_cut_short: bool,
    throttled: bool,
) -> TestSignals:
    case = plan.case
    delay_ns = figures.client_delay.quantile_ns(quantile_fraction(99))
    end_ns = figures.planned_end_ns if notes.reached_end else figures.last_done_ns
    left_out = figures.counter("warmup_requests") + notes.warmup_dropped
    is_known_enough = notes.until is not None and notes.until.reached_after_s is not None
    is_shorter = not case.is_open or is_cut_short or is_known_enough
    return TestSignals(
        key=case.key,
        is_open=case.is_open,
        p50_ms=_quantile_ms(figures, "response", 50),
        service_p99_ms=_quantile_ms(figures, "service", 99),
        lag_p99_ms=_quantile_ms(figures, "lag", 99),
        seconds_of_growing_lag=notes.seconds_of_growing_lag if case.is_open else None,
        client_delay_p99_ms=None if delay_ns is None else delay_ns / 1e6,
        stall_share=None if case.is_open or end_ns is None else stall_share_of(figures, end_ns),
        worker_p99_ms=worker_p99_ms,
        # A stop ends the plan as well: what was due until then nobody has counted.
        planned_starts=None if plan.requests is None or is_shorter else plan.requests - left_out,
        achieved_starts=figures.counter("requests") + figures.counter("interrupted"),
        dropped=notes.dropped,
        rate_per_worker=None if notes.tool_error is None else notes.tool_error.rate_per_worker,
        safe_rate_per_worker=None if notes.tool_error is None else notes.tool_error.safe_rate_per_worker,
        workers_for_a_safe_rate=notes.workers_for_a_safe_rate,
        is_full_throttle=not (case.is_open or throttled or case.pacing_s or case.think_time.kind != "none"),
    )


def _loop_signals(memory: RunMemory, worker: int) -> dict[str, float]:
    """How a worker's loop did, as far as it lived long enough to say."""
    wall_ns = memory.worker_word(worker, WALL_NS)
    if not wall_ns:
        return {}
    busy = {
        "busy_percent": 100 * memory.worker_word(worker, BUSY_NS) / wall_ns,
        "worst_busy_percent": memory.worker_word(worker, WORST_BUSY_PPM) / 10_000,
    }
    return {
        # What a beginning and an end cost is no measure of a load that lasts less than a second.
        **(busy if wall_ns >= _SHORTEST_TOLD_NS else {}),
        "longest_pass_ms": memory.worker_word(worker, LONGEST_PASS_NS) / 1e6,
        "longest_gc_pause_ms": memory.worker_word(worker, LONGEST_GC_NS) / 1e6,
    }


def _quantile_ms(figures: TestFigures, name: str, percent: float) -> float | None:
    quantile_ns = figures.distributions[name].quantile_ns(quantile_fraction(percent))
    return None if quantile_ns is None else quantile_ns / 1e6


def any_is_here(addresses: Iterable[str]) -> bool:
    """Whether one of these IP addresses is this machine's own: only such a one can be bound to."""
    for address in addresses:
        try:
            # Anything else would be looked up as a name.
            family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
            with closing(socket.socket(family, socket.SOCK_DGRAM)) as end:
                end.bind((address, 0))
            return True
        except (OSError, ValueError):
            continue
    return False
