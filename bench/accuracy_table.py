"""What the runs say of each tool's error, as Markdown, so that it can be kept in a document as it is."""

import statistics
from collections.abc import Mapping, Sequence

from bench.accuracy_runs import Run
from bench.contestants import TRANSFER, WIRE
from bench.latency_words import PERMILLE

ERROR_TO_REACH_US = 150.0
SHARES_TO_REACH = (0.1, 0.5)
STALL_EVERY_S, STALL_FOR_S = 10, 1


def stalled_percentile_s(quantile: float) -> float:
    """By hand: what arrives in a stall, evenly, waits for its end, and all else for nothing (response time 0).

    A share F/E of the requests waits, for anything up to F: P(wait > w) = (F - w) / E, which is 1 - q at
    w = F - E·(1 - q).
    """
    return max(0.0, STALL_FOR_S - STALL_EVERY_S * (1 - quantile))


def told_of(runs: Sequence[Run]) -> Sequence[Run]:
    """Those during which the rest of the machine was quiet; all where there is none."""
    return [run for run in runs if run.is_quiet] or runs


def rate_table(title: str, runs: Mapping[str, Sequence[Run]]) -> str:
    """By tool; those without a run are left out."""
    lines = [
        f"### {title}",
        "",
        "| who | µs of CPU a request | of the rate | truth p50, p99, p99.9 ms | error p50 µs | error p99 µs "
        "| error p99.9 µs | others' cores | quiet runs |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, every in runs.items():
        if every:
            each = told_of(every)
            truth = ", ".join(_median_text(each, percentile) for percentile in PERMILLE)
            errors = " | ".join(_error_text(each, percentile) for percentile in PERMILLE)
            lines.append(
                f"| {name} | {statistics.median(run.cpu_us for run in each):.1f} "
                f"| {statistics.median(run.achieved for run in each):.1%} | {truth} | {errors} "
                f"| {statistics.median(run.others for run in each):.2f} "
                f"| {sum(run.is_quiet for run in every)} of {len(every)} |"
            )
    return "\n".join([*lines, *_remarks(runs)]) + "\n"


def stall_table(title: str, runs: Mapping[str, Sequence[Run]]) -> str:
    by_hand = ", ".join(
        f"{name} {stalled_percentile_s(part / 1000) * 1e3:,.0f}" for name, part in PERMILLE.items()
    )
    lines = [
        f"### {title}",
        "",
        f"By hand, for an open model (ms, the way there and back aside): {by_hand.replace('_', '.')}.",
        "",
        "| who | says p50 ms | says p99 ms | says p99.9 ms | the target held p50, p99, p99.9 ms | requests "
        "| others' cores |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, each in runs.items():
        for run in told_of(each)[:1]:
            said = " | ".join("-" if v is None else f"{v:,.1f}" for v in run.said.percentiles.values())
            held = ", ".join(f"{run.truth_ms[percentile]:,.1f}" for percentile in PERMILLE)
            lines.append(f"| {name} | {said} | {held} | {run.requests:,} | {run.others:.2f} |")
    return "\n".join([*lines, *_remarks(runs)]) + "\n"


def reached_lines(share: float, runs: Mapping[str, Sequence[Run]]) -> list[str]:
    """For perfcore where the server has time to spare."""
    if share not in SHARES_TO_REACH:
        return []
    lines = []
    for name in (WIRE, TRANSFER):
        told = told_of(runs.get(name, ()))
        if errors := _errors(told, "p50"):
            doubt = "" if told[0].is_quiet else "; other processes used its core, so measure again"
            error = statistics.median(errors)
            verdict = "reached" if abs(error) < ERROR_TO_REACH_US else "NOT reached"
            lines.append(
                f"- at {share:.0%}: error p50 < {ERROR_TO_REACH_US:.0f} µs: {verdict}: {name}: {error:+,.0f} µs"
                + doubt
            )
    return lines


def _errors(runs: Sequence[Run], percentile: str) -> list[float]:
    return [error for run in runs if (error := run.errors_us[percentile]) is not None]


def _median_text(runs: Sequence[Run], percentile: str) -> str:
    return f"{statistics.median(run.truth_ms[percentile] for run in runs):,.2f}"


def _error_text(runs: Sequence[Run], percentile: str) -> str:
    """The median, and what it lies between."""
    errors = _errors(runs, percentile)
    if not errors:
        return "-"
    if len(errors) == 1:
        return f"{errors[0]:+,.0f}"
    return f"{statistics.median(errors):+,.0f} ({min(errors):+,.0f} … {max(errors):+,.0f})"


def _remarks(runs: Mapping[str, Sequence[Run]]) -> list[str]:
    """A line for each tool of what it said beside, of requests that had no stamp, and of counts that differ."""
    lines = []
    for name, each in runs.items():
        told = []
        for run in told_of(each):
            words = [run.said.remark] if run.said.remark else []
            if run.stamped != run.requests:
                words.append(f"{run.requests - run.stamped:,} of {run.requests:,} have no kernel stamp")
            if name.startswith("perfcore") and run.said.requests != run.requests:
                words.append(f"it says {run.said.requests:,} requests, the target {run.requests:,}")
            if words:
                told.append(f"round {run.round + 1}: {', '.join(words)}")
        if told:
            lines.append(f"\n{name}: {'; '.join(told)}")
    return lines
