"""What the runs of a scenario say: a table of its entrants, and each figure beside the one to reach."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.pairs import Estimate, geometric_mean, paired_ratio
from bench.scenarios import Aim, Scenario
from bench.speed_runs import Entry

# Above this share of its core a process can do no more.
SATURATED = 0.95


@dataclass(frozen=True)
class Row:
    label: str
    runs: int
    cpu_us: float
    """Median of CPU microseconds a request."""
    cpu_interval: Estimate
    ratio: Estimate | None
    """Of CPU a request, to the scenario's reference."""
    rate: float
    """Median of requests a second."""
    client_share: float
    """Median of cores that it kept busy while the load was on; start and end are in it."""
    server_share: float
    peak_mb: float | None


@dataclass(frozen=True)
class Outcome:
    """An aim, and what became of it."""

    aim: Aim
    ratio: Estimate | None

    @property
    def verdict(self) -> str:
        if self.ratio is None:
            return "not measured"
        if not self.aim.reached_by(self.ratio.mean):
            return "NOT reached"
        edge = self.ratio.high if self.aim.at_most else self.ratio.low
        return "reached" if edge is not None and self.aim.reached_by(edge) else "reached, not beyond doubt"


def rows_of(scenario: Scenario, entries: Sequence[Entry]) -> list[Row]:
    """Cheapest first; entrants without a run are left out."""
    reference = next((entry for entry in entries if entry.entrant == scenario.reference), None)
    rows = [_row(entry, reference) for entry in entries if entry.runs]
    return sorted(rows, key=lambda row: row.cpu_us)


def _row(entry: Entry, reference: Entry | None) -> Row:
    costs = entry.figure("cpu")
    ratio = None
    if reference is not None and reference is not entry:
        ratio = paired_ratio(costs, reference.figure("cpu"))
    peaks = [run.spent.peak_pss_mb for run in entry.runs if run.spent.peak_pss_mb is not None]
    microseconds = [cost * 1e6 for cost in costs.values()]
    return Row(
        entry.entrant.label,
        len(entry.runs),
        statistics.median(microseconds),
        geometric_mean(microseconds),
        ratio,
        statistics.median(entry.figure("rate").values()),
        statistics.median(run.spent.cpu_s / run.seconds for run in entry.runs),
        statistics.median(run.server_cpu_s / run.seconds for run in entry.runs),
        max(peaks, default=None),
    )


def outcomes_of(scenario: Scenario, entries: Sequence[Entry]) -> list[Outcome]:
    by_label = {entry.entrant.label: entry for entry in entries}
    outcomes = []
    for aim in scenario.aims:
        subject, reference = by_label.get(aim.subject), by_label.get(aim.reference)
        ratio = None
        if subject is not None and reference is not None:
            ratio = paired_ratio(subject.figure(aim.figure), reference.figure(aim.figure))
        outcomes.append(Outcome(aim, ratio))
    return outcomes


def uneven_counts(entries: Sequence[Entry]) -> list[str]:
    """A line for each perfcore run whose attempts are not what the server counted."""
    return [
        f"{entry.entrant.label}, block {run.block + 1}: {run.attempts} attempts, the server counted {run.requests}"
        for entry in entries
        for run in entry.runs
        if run.attempts is not None and run.attempts != run.requests
    ]


def table_text(scenario: Scenario, entries: Sequence[Entry], start_cpu_s: Mapping[str, float]) -> str:
    """Markdown, so that it can be kept in a document as it is. `start_cpu_s`: by tool, of a run without load."""
    lines = [
        f"### {scenario.title} (`{scenario.name}`)",
        "",
        f"| who | µs of CPU a request | 95 % interval | × {scenario.reference.label} | requests/s "
        "| cores used | server's | peak MB | runs |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows_of(scenario, entries):
        peak = "-" if row.peak_mb is None else f"{row.peak_mb:.0f}"
        lines.append(
            f"| {row.label} | {row.cpu_us:.2f} | {interval_text(row.cpu_interval)} "
            f"| {_to_reference(row, scenario)} | {row.rate:,.0f} "
            f"| {row.client_share:.2f} | {row.server_share:.2f} | {peak} | {row.runs} |"
        )
    lines += [f"\n{outcome_text(outcome)}" for outcome in outcomes_of(scenario, entries)]
    lines += [f"\n{entry.entrant.label}: {entry.failure}" for entry in entries if entry.failure]
    lines += [f"\n{text}" for text in (*uneven_counts(entries), *_remarks(entries, start_cpu_s))]
    return "\n".join(lines) + "\n"


def _to_reference(row: Row, scenario: Scenario) -> str:
    if row.label == scenario.reference.label:
        return "1"
    return "-" if row.ratio is None else ratio_text(row.ratio)


def _remarks(entries: Sequence[Entry], start_cpu_s: Mapping[str, float]) -> list[str]:
    """What a reader has to know of the figures: what the start costs, and what else ran."""
    lines = []
    for entry in entries:
        start_s = start_cpu_s.get(entry.entrant.tool)
        if start_s is not None and entry.runs:
            share = statistics.median(start_s / run.requests for run in entry.runs) * 1e6
            lines.append(
                f"{entry.entrant.label}: {share:.2f} µs of it are start and end, {start_s:.2f} s of CPU a run"
            )
    meanwhile = [run.others_cpu_s / run.spent.wall_s for entry in entries for run in entry.runs]
    if meanwhile:
        lines.append(
            f"other processes of this machine used {statistics.median(meanwhile):.2f} cores meanwhile"
        )
    return lines


def interval_text(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return "one run"
    return f"{estimate.low:.2f} - {estimate.high:.2f}"


def ratio_text(estimate: Estimate) -> str:
    return f"{estimate.mean:.2f} ({interval_text(estimate)})"


_FIGURE_WORDS = {
    "cpu": "CPU a request",
    "per_core": "requests a second and core",
    "rate": "requests a second",
}


def outcome_text(outcome: Outcome) -> str:
    aim = outcome.aim
    sign = "≤" if aim.at_most else "≥"
    measured = "-" if outcome.ratio is None else ratio_text(outcome.ratio)
    words = f"{_FIGURE_WORDS[aim.figure]}, {aim.subject} : {aim.reference}"
    return f"{outcome.verdict}: {words} = {measured}, to reach {sign} {aim.bound:g}"


def document_of(scenario: Scenario, entries: Sequence[Entry]) -> dict[str, Any]:
    """Everything that was measured, and what was made of it."""
    return {
        "name": scenario.name,
        "title": scenario.title,
        "server": scenario.server,
        "reference": scenario.reference.label,
        "rows": [asdict(row) for row in rows_of(scenario, entries)],
        "aims": [
            {**asdict(outcome), "verdict": outcome.verdict, "text": outcome_text(outcome)}
            for outcome in outcomes_of(scenario, entries)
        ],
        "uneven_counts": uneven_counts(entries),
        "entrants": [
            {
                "label": entry.entrant.label,
                "tool": entry.entrant.tool,
                "version": entry.version,
                "command": entry.command,
                "failure": entry.failure,
                "runs": [run.as_json() for run in entry.runs],
            }
            for entry in entries
        ],
    }
