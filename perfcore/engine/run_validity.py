"""What the supervisor knows of the generator, put to `judge`: how far the figures of a run can be trusted."""

import socket
from collections.abc import Iterable, Sequence
from contextlib import closing
from ipaddress import ip_address
from typing import Any

from perfcore.engine.plan import CasePlan
from perfcore.engine.run_document import RunNotes, TestNotes
from perfcore.metrics.environment import usable_cores
from perfcore.metrics.host_signals import HostSignals
from perfcore.metrics.metrics_collector import TestFigures
from perfcore.metrics.statistics import quantile_fraction
from perfcore.metrics.validity import RunSignals, TestSignals, WorkerSignals, judge
from perfcore.suite.test_suite import TestSuite


def run_validity(
    suite: TestSuite,
    plans: Sequence[CasePlan],
    figures: Sequence[TestFigures],
    notes: RunNotes,
    host: HostSignals,
) -> dict[str, Any]:
    """The `validity` object of the result, after the run."""
    began = [at for at in range(len(plans)) if notes.tests[at].began]
    addresses = {address for at in began for address in notes.tests[at].addresses}
    run = RunSignals(
        workers=tuple(
            WorkerSignals(
                run_queue_wait_percent=worker.run_queue_wait_percent,
                descriptors_percent=worker.descriptors_percent,
            )
            for worker in host.workers
        ),
        steal_percent=host.steal_percent,
        worst_steal_percent=host.worst_steal_percent,
        throttled_percent=host.throttled_percent,
        supervisor_cpu_percent=host.supervisor_cpu_percent,
        ephemeral_ports_percent=host.ephemeral_ports_percent,
        target_is_here=any(plans[at].case.unix_socket for at in began) or any_is_here(addresses),
        usable_cores=usable_cores(),
    )
    is_cut_short = notes.interrupted_by is not None or notes.aborted_by is not None
    throttled = suite.limits.max_rate_per_s is not None
    tests = [
        _test_signals(plans[at], figures[at], notes.tests[at], is_cut_short=is_cut_short, throttled=throttled)
        for at in began
    ]
    return judge(run, tests)


def _test_signals(
    plan: CasePlan, figures: TestFigures, notes: TestNotes, *, is_cut_short: bool, throttled: bool
) -> TestSignals:
    case = plan.case
    return TestSignals(
        key=case.key,
        is_open=case.is_open,
        p50_ms=_quantile_ms(figures, "response", 50),
        service_p99_ms=_quantile_ms(figures, "service", 99),
        lag_p99_ms=_quantile_ms(figures, "lag", 99),
        # A stop ends the plan as well: what was due until then nobody has counted.
        planned_starts=plan.requests if case.is_open and not is_cut_short else None,
        achieved_starts=figures.counter("requests") + figures.counter("interrupted"),
        dropped=notes.dropped,
        is_full_throttle=not (case.is_open or throttled or case.pacing_s or case.think_time.kind != "none"),
    )


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
