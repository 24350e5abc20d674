"""`--dry-run`: the plan of a run as text, and the effective suite below it."""

from collections.abc import Mapping
from typing import Any, TextIO

from perfcore.report.printable import printable


def write_plan(plan: Mapping[str, Any], stream: TextIO) -> None:
    """`plan` is the document of RunPlan.document."""
    workers = plan["workers"]
    lines = [
        printable(plan["test_suite"]),
        f"  {printable(plan['base_url'])} · {plan['mode']} · {workers} worker{'s' if workers != 1 else ''}",
        "",
    ]
    for test in plan["tests"]:
        lines.append(f"{printable(test['name'])}  ({test['key']})")
        lines.append(f"  {printable(test['request'])}")
        lines.append(f"  {test['load']}")
        lines.append(f"  users per worker: {' + '.join(str(users) for users in test['worker_users'])}")
        lines.extend(f"  {note}" for note in test["notes"])
        lines.append("")
    lines.append(_totals(plan["tests"], plan["mode"]))
    lines.append("")
    lines.append("Effective suite:")
    lines.extend(f"  {line}" for line in plan["effective_suite"].splitlines())
    stream.write("\n".join(lines) + "\n")


def _totals(tests: list[Mapping[str, Any]], mode: str) -> str:
    counted = sum(test["requests"] for test in tests if test["requests"] is not None)
    unbounded = sum(test["requests"] is None for test in tests)
    timed = [test["duration_s"] for test in tests if test["duration_s"] is not None]
    parts = (
        [f"{counted:,} requests at most" if timed and counted else f"{counted:,} requests"] if counted else []
    )
    if unbounded:
        parts.append(f"{unbounded} test{'s' if unbounded != 1 else ''} for as many as fit in the time")
    if timed:
        parts.append(f"{(max if mode == 'parallel' else sum)(timed):g} s of planned load at most")
    return "In all: " + ", ".join(parts)
