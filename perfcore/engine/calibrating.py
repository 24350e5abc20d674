"""Measures this tool's own error on this machine: a ladder of rates against the embedded target, which knows the truth.

Each run is one worker's, under a supervisor in an interpreter of its own, as a user's run is. Rounds go through all
rates and engines in turn, so that what disturbs the machine for a while disturbs all alike; medians are kept. Nothing
is written here. A run takes no account of an older calibration: it is what is being made.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from perfcore._version import __version__
from perfcore.engine.core_split import split_cores
from perfcore.engine.embedded_target import EmbeddedTarget
from perfcore.engine.engine_choice import Engine
from perfcore.engine.fresh_interpreter import FreshInterpreter
from perfcore.engine.suite_run import RunOrder
from perfcore.engine.supervisor import now
from perfcore.engine.truth_target import take_held
from perfcore.errors import SetupFailedError
from perfcore.metrics.calibration import (
    SHARES,
    Calibration,
    EngineCalibration,
    Rung,
    fingerprint,
    ladder,
    median_rung,
)
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import TestSuite

# A server that is fast, and slow enough to tell what the tool adds.
DELAY_MS = 2
_PATH = f"/truth?delay_ms={DELAY_MS}"
# More than the target keeps busy with that delay; of a rate what is beyond them would be dropped.
_USERS = 200
_LONGEST_CAPACITY_RUN_S = 2.0
# What a run before left at the target is answered by then.
_SETTLE_S = 0.1


@dataclass(frozen=True, slots=True)
class CalibrationOrder:
    """What is to be measured, and how long. `run_s` is of each of the runs."""

    engines: Sequence[Engine]
    run_s: float
    rounds: int

    @property
    def runs(self) -> int:
        """How many there are, those of the capacity included."""
        return len(self.engines) * self.rounds * (len(SHARES) + 1)


@dataclass(frozen=True, slots=True)
class Step:
    """What is measured next."""

    number: int
    engine: Engine
    rate: float | None
    """Planned; None: as much as one worker can do."""


def calibrate(order: CalibrationOrder, on_step: Callable[[Step], None]) -> Calibration:
    """Measures all of it; `on_step` is called before each run. SetupFailedError, or RunLostError of a run."""
    split = split_cores(1)
    target = EmbeddedTarget(split.target)
    try:
        return _Measuring(order, target.url, split.workers, on_step).measure()
    finally:
        target.stop()


class _Measuring:
    def __init__(
        self,
        order: CalibrationOrder,
        url: str,
        worker_cores: frozenset[int] | None,
        on_step: Callable[[Step], None],
    ) -> None:
        self._order = order
        self._url = url
        self._worker_cores = worker_cores
        self._on_step = on_step
        self._number = 0
        self._environment: dict[str, Any] = {}

    def measure(self) -> Calibration:
        order = self._order
        capacities = {engine: self._capacity(engine) for engine in order.engines}
        runs: dict[tuple[Engine, float], list[Rung]] = {}
        for number, share, engine in self._in_turn():
            rung = self._rung(engine, capacities[engine] * share, number)
            runs.setdefault((engine, share), []).append(rung)
        day = datetime.now(UTC).date().isoformat()
        engines: dict[str, EngineCalibration] = {
            engine: EngineCalibration(
                day, capacity, ladder([median_rung(runs[engine, share]) for share in SHARES])
            )
            for engine, capacity in capacities.items()
        }
        return Calibration(fingerprint(self._environment, __version__), engines)

    def _in_turn(self) -> Iterator[tuple[int, float, Engine]]:
        for number in range(self._order.rounds):
            for share in SHARES:
                for engine in self._order.engines:
                    yield number, share, engine

    def _capacity(self, engine: Engine) -> float:
        """The best of the rounds: what else runs on the machine makes it less, and nothing makes it more."""
        run_s = min(self._order.run_s, _LONGEST_CAPACITY_RUN_S)
        attained = []
        for number in range(self._order.rounds):
            self._tell(engine, None)
            case = self._case(run_s, parallel_users=_USERS, ramp_up="0s")
            document = self._run(case, engine, number)
            attained.append(float(document["results"]["load"]["requests_per_second"]))
        if max(attained) <= 0:
            raise SetupFailedError("the embedded target answered nothing, so there is nothing to measure")
        return max(attained)

    def _rung(self, engine: Engine, rate: float, number: int) -> Rung:
        self._tell(engine, rate)
        time.sleep(_SETTLE_S)
        take_held(self._url)
        document = self._run(self._case(self._order.run_s, rate=rate, max_users=_USERS), engine, number)
        return rung_of(document, take_held(self._url), rate)

    def _case(self, run_s: float, **load: Any) -> TestCase:
        # Connections stand before: to make them is no time of the server's, and none of the tool's.
        return TestCase(
            name="load", endpoint=self._url + _PATH, duration=run_s, preconnect=True, timeout="10s", **load
        )

    def _run(self, case: TestCase, engine: Engine, number: int) -> dict[str, Any]:
        order = RunOrder(
            suite=TestSuite.of(case),
            workers=1,
            seed=number,
            engine=engine,
            start=now(),
            own_process=True,
            worker_cores=self._worker_cores,
            is_calibrating=True,
        )
        document: dict[str, Any] = dict(FreshInterpreter(order, None).run().document)
        if "load" not in document["results"] or document["verdict"] == "incomplete":
            told = "; ".join(document["incidents"]) or "its test never began"
            raise SetupFailedError(f"a run of the calibration failed: {told}")
        self._environment = document["environment"]
        return document

    def _tell(self, engine: Engine, rate: float | None) -> None:
        self._number += 1
        self._on_step(Step(self._number, engine, rate))


def rung_of(document: dict[str, Any], held: dict[str, Any], planned_rate: float) -> Rung:
    """One run beside what the target held. SetupFailedError when one of them has no request."""
    test = document["results"]["load"]
    said = test["timing"]["percentiles"]
    if not held["count"] or said["p50"] is None:
        raise SetupFailedError(
            f"no request was answered at {planned_rate:.3g}/s, so there is no error to measure; "
            "give the runs more --seconds"
        )
    truth = {name: held[f"{name}_ns"] / 1e6 for name in ("p50", "p99")}
    signals = {signal["name"]: signal["value"] for signal in document["validity"]["signals"]}
    return Rung(
        planned_rate=round(planned_rate, 3),
        rate=test["requests_per_second"] or round(planned_rate, 3),
        p50_error_ms=round(said["p50"] - truth["p50"], 6),
        p99_error_ms=round(said["p99"] - truth["p99"], 6),
        truth_p50_ms=truth["p50"],
        truth_p99_ms=truth["p99"],
        lag_p99_ms=test["schedule_lag"]["p99_ms"],
        client_delay_p99_ms=test["client_delay"]["p99_ms"],
        busy_percent=signals.get("loop_busy_percent"),
        waited_percent=signals.get("run_queue_wait_percent"),
        verdict=document["validity"]["verdict"],
    )
