"""perfcore beside every other tool that is found: the same work, the same server, by turns.

    python -m bench.speed [--scenario NAME ...] [--pairs 10] [--seconds 5] [--quick] [--list]

CPU of a run is that of its whole process tree from the command to the exit: interpreter, supervisor, recording and
result are in it. Requests are those that the server counted. README.md here tells how to read the figures.
"""

import argparse
import sys
from typing import Any

from bench import machine
from bench.contestants import PEERS_OF_WRK, TOOLS, TRANSFER, WIRE
from bench.cores import Cores, share_out, usable_cores
from bench.scenarios import SCENARIOS, Scenario
from bench.speed_runs import Entry, Plan, run_scenario
from bench.speed_table import Row, document_of, outcome_text, outcomes_of, rows_of, table_text
from bench.start_and_end import measure_start_and_end, start_cpu_s

START_AND_END = "start-and-end"


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    names = [*SCENARIOS, START_AND_END]
    if options.list:
        for name in names:
            print(
                f"{name:18} {SCENARIOS[name].title if name in SCENARIOS else 'command to first request, last to exit'}"
            )
        return 0
    chosen = options.scenario or names
    if unknown := [name for name in chosen if name not in names]:
        print(f"no such scenario: {', '.join(unknown)}; there are {', '.join(names)}", file=sys.stderr)
        return 2
    if unknown := [name for name in options.only or () if name not in TOOLS]:
        print(f"no such tool: {', '.join(unknown)}; there are {', '.join(TOOLS)}", file=sys.stderr)
        return 2
    if options.quick:
        options.pairs, options.other_runs, options.seconds = 2, 1, min(options.seconds, 3.0)
    plan = Plan(options.pairs, options.other_runs, options.seconds, frozenset(options.only or ()))
    cores = share_out(usable_cores())
    print(_introduction(plan, cores), flush=True)
    _measure(chosen, plan, cores)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.speed", allow_abbrev=False)
    parser.add_argument("--scenario", action="append", metavar="NAME", help="measure this one; repeatable")
    parser.add_argument("--only", action="append", metavar="TOOL", help="run this tool; repeatable")
    parser.add_argument("--pairs", type=int, default=10, metavar="N", help="ABBA pairs (default: 10)")
    parser.add_argument(
        "--other-runs", type=int, default=2, metavar="N", help="runs of the others (default: 2)"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="of each run (default: 5)")
    parser.add_argument("--quick", action="store_true", help="2 pairs of 3 s, 1 run of the others: to try it")
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    return parser


def _introduction(plan: Plan, cores: Cores) -> str:
    found = machine.machine()
    lines = [
        f"{found['date']}, {found['cpu_model']}, {found['cores']} cores, Linux {found['kernel']}, "
        f"load {found['load_average']:.1f}",
        f"{plan.pairs} pairs, {plan.other_runs} runs of the others, {plan.seconds:g} s each; "
        + (
            "server and client on cores of their own"
            if cores.apart
            else "ONE CORE: server and client share it, and every figure is worse for it"
        ),
    ]
    missing = [name for name in ("wrk", *PEERS_OF_WRK) if TOOLS[name].find() is None]
    if missing:
        lines.append(f"not installed, so not measured: {', '.join(missing)}")
    return "\n".join(lines) + "\n"


def _measure(chosen: list[str], plan: Plan, cores: Cores) -> None:
    documents: list[dict[str, Any]] = []
    drawn: list[tuple[Scenario, list[Row]]] = []
    told: list[str] = []
    starts = {tool: start_cpu_s(tool) for tool in (WIRE, TRANSFER)}
    for name in chosen:
        try:
            if name == START_AND_END:
                document, lines = measure_start_and_end(runs=max(3, plan.pairs))
            else:
                scenario = SCENARIOS[name]
                entries = run_scenario(scenario, plan, cores, _tell)
                document, lines = document_of(scenario, entries), _told_of(scenario, entries)
                if rows := rows_of(scenario, entries):
                    drawn.append((scenario, rows))
                print(table_text(scenario, entries, starts), flush=True)
        except RuntimeError as error:
            told.append(f"- {name}: not measured: {error}")
            print(f"{name}: not measured: {error}\n", flush=True)
            continue
        documents.append(document)
        told += lines
        # After each scenario, so that one that is broken off leaves what it had.
        path = machine.keep(
            "speed", {"plan": vars(plan) | {"only": sorted(plan.only)}, "scenarios": documents}
        )
    print("\n".join(("## To reach", "", *told)))
    if documents:
        print(
            f"\nkept: {path} {machine.plot('speed', lambda figure: _draw(figure, drawn), _size(drawn)) or ''}"
        )


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _told_of(scenario: Scenario, entries: list[Entry]) -> list[str]:
    return [f"- {scenario.name}: {outcome_text(outcome)}" for outcome in outcomes_of(scenario, entries)]


def _size(drawn: list[tuple[Scenario, list[Row]]]) -> tuple[float, float]:
    return 10.0, 1.5 + sum(0.7 + 0.28 * len(rows) for _, rows in drawn)


def _draw(figure: Any, drawn: list[tuple[Scenario, list[Row]]]) -> None:
    """One panel a scenario: CPU a request of each entrant with its interval, cheapest at the top."""
    if not drawn:
        return
    from matplotlib.ticker import LogLocator  # type: ignore[import-not-found,unused-ignore]

    panels = figure.subplots(len(drawn), 1, squeeze=False, height_ratios=[2 + len(rows) for _, rows in drawn])
    for panel, (scenario, rows) in zip(panels[:, 0], drawn, strict=True):
        for place, row in enumerate(rows):
            interval = row.cpu_interval
            low, high = interval.low or interval.mean, interval.high or interval.mean
            colour = "C1" if row.label.startswith("perfcore") else "C0"
            panel.plot([low, high], [place, place], color=colour, linewidth=2)
            panel.plot([row.cpu_us], [place], "o", color=colour)
        panel.set_yticks(range(len(rows)), [row.label for row in rows])
        panel.invert_yaxis()
        panel.set_xscale("log")
        # The interval of two runs may reach over many powers of ten; the figures are what is to be seen.
        panel.set_xlim(min(row.cpu_us for row in rows) / 2, max(row.cpu_us for row in rows) * 2)
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter("{x:g}")
        panel.xaxis.set_minor_formatter("")
        panel.set_title(scenario.title, loc="left", fontsize=10)
        panel.grid(axis="x", which="both", alpha=0.3)
    panels[-1, 0].set_xlabel("µs of CPU a request, median and 95 % interval")


if __name__ == "__main__":
    sys.exit(main())
