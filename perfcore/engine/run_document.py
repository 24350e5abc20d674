"""From everything the supervisor knows at the end to the document of results.json."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from perfcore._version import __version__
from perfcore.engine.plan import CasePlan, request_line
from perfcore.errors import ExitCode, gravest
from perfcore.metrics.calibration import ToolError
from perfcore.metrics.measured_document import UntilFacts
from perfcore.metrics.metrics_collector import TestFigures
from perfcore.metrics.outcomes import ERROR_KINDS
from perfcore.metrics.test_document import TestFacts, test_document
from perfcore.metrics.test_result import SCHEMA_VERSION
from perfcore.metrics.trace_ids import TraceIds
from perfcore.metrics.validity import RunSignals, judge
from perfcore.suite.secrets import Masker
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import TestSuite

_VERDICTS = {
    ExitCode.PASSED: "passed",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.SETUP_FAILED: "aborted",
    ExitCode.ABORTED: "aborted",
    ExitCode.INCOMPLETE: "incomplete",
    ExitCode.NOT_TRUSTWORTHY: "invalid",
    ExitCode.THRESHOLD_BROKEN: "failed",
}
# Sent twice, these may have had their effect twice.
_NOT_IDEMPOTENT = frozenset({"POST", "PATCH"})


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment on both clocks: durations come from the first, dates from the second."""

    monotonic_ns: int
    realtime_ns: int


@dataclass(slots=True)
class TestNotes:
    """What the supervisor gathers about one test beside its samples."""

    __test__ = False

    began: bool = False
    reached_end: bool = False
    max_in_flight: int = 0
    arrivals: int = 0  # of an open model, whether or not a user was free
    dropped: int = 0
    warmup_dropped: int = 0  # of the arrivals that are in no figure
    until: UntilFacts | None = None
    seconds_of_growing_lag: int = 0  # of the phase in which it ran
    addresses: dict[str, dict[str, int]] = field(default_factory=dict)
    http_versions: dict[str, int] = field(default_factory=dict)  # connections by what was spoken on them
    emptied_jars: int = 0
    recognised: int = 0  # answers that needed no parser
    tool_error: ToolError | None = None
    workers_for_a_safe_rate: int | None = None  # where more of them would make its rate a safe one
    failure_samples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def note_end(self, said: Mapping[str, Any]) -> None:
        """Take in what one worker says at the end of its part."""
        self.reached_end |= said["reached_end"]
        for address, counts in said["addresses"].items():
            total = self.addresses.setdefault(address, {"connections": 0, "requests": 0})
            for name, count in counts.items():
                total[name] += count
        self.emptied_jars += said["emptied_jars"]
        self.recognised += said["recognised"]
        for version, count in said["http_versions"].items():
            self.http_versions[version] = self.http_versions.get(version, 0) + count


@dataclass(slots=True)
class RunNotes:
    """What happened, as the run goes along."""

    start: Instant
    end: Instant | None = None
    interrupted_by: str | None = None
    aborted_by: str | None = None  # the limit that ended the run
    lost_workers: int = 0
    incidents: list[str] = field(default_factory=list)
    samples_left_out: dict[int, int] = field(default_factory=dict)  # by worker, for the limit's sake
    samples_error: str | None = None  # why samples.npy is not whole
    tests: list[TestNotes] = field(default_factory=list)
    validity: dict[str, Any] | None = None  # as `judge` has it
    calibration: dict[str, Any] | None = None  # which one was used, or why none; None where there is none


def run_document(
    suite: TestSuite,
    plans: Sequence[CasePlan],
    figures: Sequence[TestFigures],
    notes: RunNotes,
    *,
    strict: bool = False,
    spins: bool = True,
    run_id: uuid.UUID,
    seed: int,
    command_line: Sequence[str],
    environment: Mapping[str, Any],
    masker: Masker,
) -> dict[str, Any]:
    """The whole document; tests that never began are left out. `strict`: validity decides the verdict, too.

    `spins`: whether workers waited awake for arrivals.
    """
    validity = notes.validity or judge(RunSignals(), ())
    began = [at for at in range(len(plans)) if notes.tests[at].began]
    codes = exit_codes([figures[at] for at in began], notes)
    if strict and validity["verdict"] == "invalid":
        codes.append(ExitCode.NOT_TRUSTWORTHY)
    assert notes.end is not None
    return {
        "schema_version": SCHEMA_VERSION,
        "perfcore_version": __version__,
        "test_suite": masker.text(suite.name),
        "description": masker.text(suite.description),
        "timestamp": timestamp(notes.start),
        "run_id": str(run_id),
        "seed": seed,
        "tags": masker.tags(suite.tags),
        "command_line": masker.command_line(command_line),
        "base_url": masker.url(suite.base_url),
        "mode": suite.mode,
        "spin": spins,
        "limits": suite.limits.model_dump(exclude_none=True),
        "clock": {
            name: {"monotonic_ns": instant.monotonic_ns, "realtime_ns": instant.realtime_ns}
            for name, instant in (("start", notes.start), ("end", notes.end))
        },
        "verdict": _VERDICTS[gravest(codes)],
        "exit_code": int(gravest([*codes, ExitCode.NOT_SAVED] if notes.samples_error else codes)),
        "incidents": [masker.text(incident) for incident in incidents(plans, figures, notes)],
        "environment": dict(environment),
        "validity": validity,
        "calibration": _calibration(notes, masker),
        "results": {
            plans[at].case.key: test_document(
                figures[at], _facts(plans[at], figures[at], notes.tests[at], run_id, masker)
            )
            for at in began
        },
    }


def _calibration(notes: RunNotes, masker: Masker) -> dict[str, Any] | None:
    told = notes.calibration
    if told is None or told["reason"] is None:
        return told
    return {**told, "reason": masker.text(told["reason"])}


def timestamp(instant: Instant) -> str:
    """UTC, ISO 8601 to the second."""
    return started_at(instant).strftime("%Y-%m-%dT%H:%M:%SZ")


def started_at(instant: Instant) -> datetime:
    return datetime.fromtimestamp(instant.realtime_ns / 1e9, UTC)


def incidents(plans: Sequence[CasePlan], figures: Sequence[TestFigures], notes: RunNotes) -> list[str]:
    """What a reader of the figures has to know, a line each."""
    lines = list(notes.incidents)
    missing = [plan.case.key for plan, test in zip(plans, notes.tests, strict=True) if not test.began]
    if missing:
        lines.append(f"not started: {', '.join(missing)}")
    for plan, noted in zip(plans, notes.tests, strict=True):
        lines.extend(_other_versions(plan.case, noted.http_versions))
        if noted.emptied_jars:
            times = "once" if noted.emptied_jars == 1 else f"{noted.emptied_jars:,} times"
            lines.append(f"{plan.case.key}: a user's jar held over 1,000 cookies and was emptied, {times}")
    for plan, test in zip(plans, figures, strict=True):
        if test.counter("warmup_requests") and not test.counter("requests"):
            lines.append(f"{plan.case.key}: all requests were due in the warm-up, and nothing was measured")
        resent = test.counter("resent")
        if resent and plan.case.method in _NOT_IDEMPOTENT:
            what = "requests were" if resent > 1 else "request was"
            where = "connections that had died" if resent > 1 else "a connection that had died"
            lines.append(
                f"{plan.case.key}: {resent:,} {plan.case.method} {what} sent twice by libcurl on {where}; "
                "the server may have acted on both"
            )
    return lines


def _other_versions(case: TestCase, spoken: Mapping[str, int]) -> Iterator[str]:
    """What was spoken where the suite asks for a version; a server may know another one only."""
    asked = case.http_version.partition("-")[0]
    others = {version: count for version, count in spoken.items() if version != asked}
    if asked != "auto" and others:
        count = sum(others.values())
        yield (
            f"{case.key}: asked for HTTP/{asked}, and spoke HTTP/{', HTTP/'.join(others)} on {count:,} "
            f"connection{'' if count == 1 else 's'}"
        )


def exit_codes(figures: Sequence[TestFigures], notes: RunNotes) -> list[ExitCode]:
    """All that decides the verdict; a test without any success is as bad as a broken threshold."""
    codes = []
    if notes.interrupted_by is not None:
        codes.append(ExitCode.INTERRUPTED)
    if notes.aborted_by is not None:
        codes.append(ExitCode.ABORTED)
    if notes.lost_workers:
        codes.append(ExitCode.INCOMPLETE)
    if any(test.counter("requests") == test.counter("failed_requests") for test in figures):
        codes.append(ExitCode.THRESHOLD_BROKEN)
    return codes


def _facts(
    plan: CasePlan, figures: TestFigures, notes: TestNotes, run_id: uuid.UUID, masker: Masker
) -> TestFacts:
    counts = {ERROR_KINDS[code]: int(count) for code, count in enumerate(figures.error_counts) if count}
    failures = [
        {"kind": kind, "count": count, "samples": notes.failure_samples.get(kind, [])}
        for kind, count in sorted(counts.items(), key=lambda item: -item[1])
    ]
    return TestFacts(
        name=masker.text(plan.case.name),
        request=request_line(plan.case, masker),
        concurrent_users=plan.case.most_users,
        load=plan.load,
        engine=plan.engine,
        recognised=notes.recognised if plan.engine == "wire" else None,
        reached_planned_end=notes.reached_end,
        max_in_flight=notes.max_in_flight,
        dropped=notes.dropped,
        check_names=tuple(masker.text(name) for name in plan.case.expect.check_names),
        addresses=notes.addresses,
        http_versions=notes.http_versions,
        further_percentiles=tuple(plan.case.percentiles),
        failures=failures,
        is_open=plan.case.is_open,
        warmup=plan.case.warmup_kind,
        until=notes.until,
        load_changes_s=None if plan.case.stages is not None else plan.ramp_up_s,
        trace_ids=None if plan.case.trace is None else TraceIds(run_id, plan.index),
        tool_error=notes.tool_error,
    )
