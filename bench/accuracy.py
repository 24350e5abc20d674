"""How right each tool's latencies are: its own words beside the truth of the embedded target, at equal offered rates.

    python -m bench.accuracy [--only TOOL ...] [--rounds 3] [--seconds 10] [--users 200] [--quick]

The target tells how long it held each request, from the kernel's receive stamp to the answer (`/truth/held`). Rates are
shares of what it attains under a closed model, measured first. README.md here tells how to read the figures.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from bench import machine
from bench.accuracy_runs import Load, Run, RunFailedError, capacity, run_once
from bench.accuracy_table import STALL_EVERY_S, STALL_FOR_S, rate_table, reached_lines, stall_table
from bench.cores import Cores, share_out, usable_cores
from bench.pairs import in_turn
from bench.rate_tools import CLOSED_TOOLS, RATE_TOOLS, RateTool
from bench.servers import EmbeddedServer, running_embedded

SHARES = (0.1, 0.5, 0.9, 1.1)
DELAY_MS = 2
TRUTH = f"/truth?delay_ms={DELAY_MS}"
STALL = f"/stall?every={STALL_EVERY_S}s&for={STALL_FOR_S}s"
CAPACITY_SECONDS = 3
STALL_RATE, STALL_USERS, CLOSED_USERS = 100.0, 200, 2
_ABOVE_CAPACITY = (
    "Above its capacity the server is never idle, and holds as many requests as a tool sends at a time (here {users}),"
    " each for about users / capacity. That is the truth there. What a request waits in the tool for a free user is no"
    " time of the server; whoever counts from the planned instant tells of it as well: there the error is that wait,"
    " and who tells of none leaves it out."
)


class Kept:
    """The runs of one load by tool, and why a tool has fewer than the others.

    A run that the rest of the machine disturbed is done again, so often at most; both are kept.
    """

    def __init__(self, tools: Sequence[RateTool], again: int) -> None:
        self._again = again
        self.runs: dict[str, list[Run]] = {tool.name: [] for tool in tools}
        self.failures: list[str] = []

    def add(self, tool: RateTool, load: Load, number: int, server: EmbeddedServer, cores: Cores) -> None:
        for _ in range(1 + self._again):
            try:
                run = run_once(tool, load, number, server, cores)
            except RunFailedError as error:
                self.failures.append(str(error))
                return
            self.runs[tool.name].append(run)
            self._tell(tool, run)
            if run.is_quiet:
                return

    def _tell(self, tool: RateTool, run: Run) -> None:
        figures = ", ".join(
            f"{name} {'-' if error is None else f'{error:+,.0f}'}" for name, error in run.errors_us.items()
        )
        disturbed = "" if run.is_quiet else f"; disturbed: others used {run.others:.1f} cores"
        print(
            f"{run.load.rate:,.0f}/s, {tool.name}: errors in µs: {figures}{disturbed}",
            file=sys.stderr,
            flush=True,
        )

    def tell_failures(self) -> None:
        for text in self.failures:
            print(f"not measured: {text}\n", flush=True)

    def as_json(self) -> dict[str, Any]:
        runs = {name: [run.as_json() for run in each] for name, each in self.runs.items()}
        return {"runs": runs, "failures": self.failures}


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    known = {**RATE_TOOLS, **CLOSED_TOOLS}
    if unknown := [name for name in options.only or () if name not in known]:
        print(f"no such tool: {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    if options.quick:
        options.rounds, options.seconds, options.again = 1, 3, 0
    chosen = [tool for name, tool in known.items() if not options.only or name in options.only]
    cores = share_out(usable_cores())
    print(_introduction(options, chosen, cores), flush=True)
    present = [tool for tool in chosen if tool.find() is not None]
    document: dict[str, Any] = {
        "options": vars(options),
        "versions": {tool.name: tool.version() for tool in present},
    }
    try:
        told = _at_rates([tool for tool in present if tool.name in RATE_TOOLS], options, cores, document)
    except RunFailedError as error:
        print(f"the capacity of the target could not be measured: {error}", file=sys.stderr)
        return 1
    _stalling(present, 1 if options.quick else 2, options.again, cores, document)
    print("\n".join(("## To reach", "", *told)))
    print(f"\nkept: {machine.keep('accuracy', document)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.accuracy", allow_abbrev=False)
    parser.add_argument("--only", action="append", metavar="TOOL", help="run this tool; repeatable")
    parser.add_argument("--rounds", type=_positive, default=3, metavar="N", help="runs of each (default: 3)")
    parser.add_argument("--seconds", type=_positive, default=10, metavar="N", help="of a run (default: 10)")
    parser.add_argument(
        "--users", type=_positive, default=200, metavar="N", help="at a time, at most (default: 200)"
    )
    parser.add_argument(
        "--again",
        type=int,
        default=1,
        metavar="N",
        choices=range(10),
        help="times that a run is repeated which other processes disturbed (default: 1)",
    )
    parser.add_argument("--quick", action="store_true", help="one round of 3 s: to try it")
    return parser


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _introduction(options: argparse.Namespace, chosen: Sequence[RateTool], cores: Cores) -> str:
    found = machine.machine()
    lines = [
        f"{found['date']}, {found['cpu_model']}, {found['cores']} cores, Linux {found['kernel']}, "
        f"load {found['load_average']:.1f}",
        f"rounds: {options.rounds}, runs of {options.seconds} s, at most {options.users} users; "
        + (
            "server and client on cores of their own"
            if cores.apart
            else "ONE CORE: server and client share it, and every figure is worse for it"
        ),
    ]
    if missing := [tool.name for tool in chosen if tool.find() is None]:
        lines.append(f"not installed, so not measured: {', '.join(missing)}")
    return "\n".join(lines) + "\n"


def _at_rates(
    tools: Sequence[RateTool], options: argparse.Namespace, cores: Cores, document: dict[str, Any]
) -> list[str]:
    """Prints a table for each share of the capacity; gives the lines of what was to be reached. RunFailedError."""
    if not tools:
        return []
    told: list[str] = []
    with running_embedded(cores.server) as server:
        attained = capacity(TRUTH, CAPACITY_SECONDS, options.users, server, cores)
        document |= {"capacity": attained, "rates": []}
        print(
            f"capacity of the embedded target, {options.users} users at {TRUTH}: {attained:,.0f}/s\n",
            flush=True,
        )
        for share in SHARES:
            # Whole tens: some take whole numbers only.
            load = Load(TRUTH, max(10, attained * share // 10 * 10), options.seconds, options.users)
            kept = Kept(tools, options.again)
            for number, tool in in_turn(tools, (), options.rounds, 0):
                kept.add(tool, load, number, server, cores)
            print(rate_table(f"{share:.0%} of the capacity: {load.rate:,.0f}/s", kept.runs))
            if share > 1:
                print(_ABOVE_CAPACITY.format(users=options.users) + "\n")
            kept.tell_failures()
            # After each table, so that a bench that is broken off leaves what it had.
            document["rates"].append({"share": share, "rate": load.rate, **kept.as_json()})
            machine.keep("accuracy", document)
            told += reached_lines(share, kept.runs)
        again = capacity(TRUTH, CAPACITY_SECONDS, options.users, server, cores)
        document["capacity_at_the_end"] = again
        print(
            f"capacity at the end: {again:,.0f}/s ({again / attained:.0%} of that at the start)\n", flush=True
        )
    return told


def _stalling(
    tools: Sequence[RateTool], stalls: int, again: int, cores: Cores, document: dict[str, Any]
) -> None:
    """What each says of a target that stands still; a new one for each, so that the stalls lie alike in every run."""
    kept = Kept(tools, 0)
    for tool in tools:
        users = CLOSED_USERS if tool.name in CLOSED_TOOLS else STALL_USERS
        load = Load(STALL, STALL_RATE, stalls * STALL_EVERY_S, users)
        for _ in range(1 + again):
            with running_embedded(cores.server) as server:
                kept.add(tool, load, 0, server, cores)
            if not kept.runs[tool.name] or kept.runs[tool.name][-1].is_quiet:
                break
    title = (
        f"A target that stalls {STALL_FOR_S} s in {STALL_EVERY_S} s, at {STALL_RATE:.0f}/s over {STALL_USERS} users"
        f" (closed: {CLOSED_USERS} users without a pause)"
    )
    print(stall_table(title, kept.runs), flush=True)
    kept.tell_failures()
    document["stall"] = kept.as_json()


if __name__ == "__main__":
    sys.exit(main())
