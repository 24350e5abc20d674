"""What a run is going to do, before it does it: phases, users a worker, requests, effective values.

`perfcore --dry-run` prints it, the supervisor deals by it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from perfcore.engine.descriptors import users_that_fit
from perfcore.engine.engine_choice import Engine, EngineWish, check_engine, choose_engine, wire_lacks
from perfcore.engine.pacing import DEFAULT_STARTS_PER_S, dealt, load_model, ramp_up_s, rate_curve
from perfcore.engine.plan_details import (
    limit_details,
    load_details,
    most_users_details,
    request_details,
    request_notes,
)
from perfcore.suite.effective_suite import effective_suite
from perfcore.suite.secrets import Masker
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import TestSuite, join_url
from perfcore.units import exact_rate, format_duration


@dataclass(frozen=True, slots=True)
class CasePlan:
    """One test. `requests` is None when only time bounds it, `duration_s` None when only its count does."""

    index: int
    case: TestCase
    model: str
    requests: int | None
    duration_s: float | None
    ramp_up_s: float
    worker_users: tuple[int, ...]
    url: str  # still with its ${…}
    engine: Engine = "transfer"
    wire_lacks: str | None = None  # why it is not the wire path, where that was not asked for
    is_bounded_here: bool = (
        False  # max_users is what this machine lets a worker open, since the suite does not say
    )

    @property
    def load(self) -> dict[str, Any]:
        """The load model as it stands in the result; absent keys do not apply."""
        case = self.case
        values = {
            "model": self.model,
            "users": case.parallel_users if not case.is_open and case.stages is None else None,
            "rate": case.rate_per_s,
            "stages": None if case.stages is None else case.stages.document,
            "arrival": case.arrival if case.is_open else None,
            "max_users": case.most_users if case.is_open else None,
            "iterations": None if case.total_iterations or case.is_open else case.effective_iterations,
            "total_iterations": case.total_iterations,
            "duration_s": self.duration_s,
            "ramp_up_s": self.ramp_up_s if self.ramp_up_is_felt else None,
            "timeout_s": case.timeout_s,
            "pacing_s": case.pacing_s or None,
        }
        return {key: value for key, value in values.items() if value is not None}

    @property
    def ramp_up_is_felt(self) -> bool:
        """Whether it was asked for, or there are so many users that the default one takes a while."""
        if self.case.is_open or self.case.stages is not None:
            return False
        return self.case.ramp_up_s is not None or self.case.parallel_users > DEFAULT_STARTS_PER_S // 10

    @property
    def sentence(self) -> str:
        """`closed model: 10 users × 100 iterations = 1,000 requests`."""
        case = self.case
        if case.is_open:
            total = self.requests or 0
            return f"open model: {self._arrivals} = {total:,} request{'' if total == 1 else 's'}"
        if case.stages is not None:
            return f"closed model: {case.stages.text}"
        users = f"{case.parallel_users:,} user{'s' if case.parallel_users != 1 else ''}"
        if case.total_iterations is not None:
            work = f"{users}, {case.total_iterations:,} iterations in all"
        elif case.effective_iterations is not None:
            each = case.effective_iterations
            total = each * case.parallel_users
            work = (
                f"{users} × {each:,} iteration{'s' if each != 1 else ''}"
                f" = {total:,} request{'s' if total != 1 else ''}"
            )
        else:
            work = users
        if case.duration_s is not None:
            bound = "" if self.requests is None else "at most "
            work += f" for {bound}{format_duration(case.duration_s)}"
        return f"{self.model} model: {work}"

    @property
    def _arrivals(self) -> str:
        """`500/s for 30s, Poisson`"""
        case = self.case
        spread = "Poisson" if case.arrival == "poisson" else "evenly"
        if case.stages is not None:
            return f"{case.stages.text}, {spread}"
        return f"{exact_rate(case.rate_per_s or 0.0)} for {format_duration(case.duration_s or 0.0)}, {spread}"

    @property
    def details(self) -> list[str]:
        """What else the suite asks of the load and the requests."""
        most_users = () if self.is_bounded_here else most_users_details(self.case)
        return [*most_users, *load_details(self.case), *request_details(self.case)]

    @property
    def engine_text(self) -> str:
        """`libcurl transfers: follow_redirects`"""
        if self.engine == "wire":
            return "wire path"
        return f"libcurl transfers{f': {self.wire_lacks}' if self.wire_lacks else ''}"

    @property
    def notes(self) -> list[str]:
        """What the plan decides that the suite does not say."""
        case, notes = self.case, []
        if case.ramp_up_s is None and self.ramp_up_is_felt:
            notes.append(
                f"users start over {format_duration(self.ramp_up_s)} "
                f"({DEFAULT_STARTS_PER_S:,} a second); ramp_up: sets it, 0s starts all at once"
            )
        if case.is_open and (case.max_users is None or self.is_bounded_here):
            why = ", as many as may be open here," if self.is_bounded_here else ","
            notes.append(
                f"at most {case.most_users:,} at the same time{why} more are dropped and counted; max_users: sets it"
            )
        return [*notes, *request_notes(case, self.url)]


@dataclass(frozen=True, slots=True)
class RunPlan:
    """All tests, and which of them run at the same time: a phase ends when all its tests have."""

    workers: int
    cases: tuple[CasePlan, ...]
    phases: tuple[tuple[int, ...], ...]
    suite_name: str = ""

    def document(self, suite: TestSuite, masker: Masker) -> dict[str, Any]:
        """The plan as plain values, masked, for whoever shows it."""
        return {
            "test_suite": masker.text(suite.name),
            "base_url": masker.url(suite.base_url),
            "mode": suite.mode,
            "workers": self.workers,
            "limits": list(limit_details(suite.limits)),
            "effective_suite": effective_suite(suite, masker),
            "tests": [
                {
                    "name": masker.text(plan.case.name),
                    "key": plan.case.key,
                    "request": request_line(plan.case, masker),
                    "load": plan.sentence,
                    "details": [masker.text(text) for text in plan.details],
                    "engine": masker.text(plan.engine_text),
                    "notes": plan.notes,
                    "requests": plan.requests,
                    "duration_s": plan.duration_s,
                    "worker_users": list(plan.worker_users),
                }
                for plan in self.cases
            ],
        }


def request_line(case: TestCase, masker: Masker) -> str:
    """`GET /users/profile`, as the suite has it."""
    return f"{case.method} {masker.url(case.endpoint)}"


def plan_run(suite: TestSuite, workers: int, engine: EngineWish = "auto") -> RunPlan:
    """Deal the suite to this many workers. Raises UsageError where the engine asked for cannot serve a test."""
    check_engine(suite, engine)
    indices = tuple(range(len(suite.tests)))
    phases = (indices,) if suite.mode == "parallel" else tuple((index,) for index in indices)
    tests = [_within_bounds(suite.tests[at], workers, len(phase)) for phase in phases for at in phase]
    cases = [
        _plan_case(index, suite, tests[index], ranks, workers, engine)
        for phase in phases
        for index, ranks in zip(phase, deal([tests[at] for at in phase], range(workers)), strict=True)
    ]
    return RunPlan(workers, tuple(cases), phases, suite.name)


def _within_bounds(case: TestCase, workers: int, tests_together: int) -> TestCase:
    """With fewer users where an open model that does not say how many would have more than can be connected here."""
    if not case.is_open or case.max_users is not None:
        return case
    fitting = users_that_fit(workers, follow_redirects=case.follow_redirects)
    most = case.most_users if fitting is None else max(1, fitting // tests_together * workers)
    return case if case.most_users <= most else case.model_copy(update={"max_users": most})


def _plan_case(
    index: int, suite: TestSuite, case: TestCase, ranks: Sequence[int], workers: int, engine: EngineWish
) -> CasePlan:
    users = [0] * workers
    for rank, worker in enumerate(ranks):
        users[worker] = len(dealt(case.most_users, rank, len(ranks)))
    if case.is_open:
        requests: int | None = rate_curve(case).total
    elif case.total_iterations is not None:
        requests = case.total_iterations
    elif case.effective_iterations is not None:
        requests = case.effective_iterations * case.parallel_users
    else:
        requests = None
    return CasePlan(
        index,
        case,
        load_model(case),
        requests,
        case.load_duration_s,
        ramp_up_s(case),
        tuple(users),
        join_url(suite.base_url, case.endpoint),
        choose_engine(suite, case, engine),
        wire_lacks(suite, case) if engine == "auto" else None,
        is_bounded_here=case is not suite.tests[index],
    )


def deal(cases: Sequence[TestCase], workers: Sequence[int]) -> list[list[int]]:
    """For each test of a phase the workers that get users of it, in the order of their ranks.

    Never more of them than users; each test goes on where the one before it ended, so that small tests which run
    together do not all fall to the first worker.
    """
    dealt_before, ranks = 0, []
    for case in cases:
        first = dealt_before % len(workers) if workers else 0
        ranks.append([*workers[first:], *workers[:first]][: case.most_users])
        dealt_before += case.most_users
    return ranks


def most_users_of_a_worker(plan: RunPlan) -> int:
    """Users that one worker has at the same time, in the largest phase."""
    return max(
        (
            sum(plan.cases[index].worker_users[worker] for index in phase)
            for phase in plan.phases
            for worker in range(plan.workers)
        ),
        default=0,
    )
