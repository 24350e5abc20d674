"""`--dry-run`: the plan of a run as text, and the effective suite below it."""

from collections.abc import Mapping
from typing import Any, TextIO

from perfcore.report.printable import printable
from perfcore.units import format_duration


def write_plan(plan: Mapping[str, Any], stream: TextIO) -> None:
    """`plan` is the document of RunPlan.document; a test's `details`, where it has any, are lines below its load."""
    workers = plan["workers"]
    lines = [
        printable(plan["test_suite"]),
        f"  {printable(plan['base_url'])} · {plan['mode']} · {workers} worker{'s' if workers != 1 else ''}",
        *(f"  {limit}" for limit in plan["limits"]),
        "",
    ]
    for test in plan["tests"]:
        lines.append(f"{printable(test['name'])}  ({test['key']})")
        lines.append(f"  {printable(test['request'])}")
        lines.append(f"  {test['load']}")
        lines.extend(f"  {printable(detail)}" for detail in test.get("details") or ())
        lines.append(f"  {printable(test['engine'])}")
        lines.append(f"  users per worker: {' + '.join(str(users) for users in test['worker_users'])}")
        lines.extend(f"  {note}" for note in test["notes"])
        lines.append("")
    lines.append(_totals(plan["tests"], plan["mode"]))
    lines.append("")
    lines.append("Effective suite:")
    lines.extend(f"  {line}" for line in plan["effective_suite"].splitlines())
    stream.write("\n".join(lines) + "\n")


def _totals(tests: list[Mapping[str, Any]], mode: str) -> str:
    """`In all: 7,900 requests, and as many more as 1 test gets done in its 3s`."""
    counted = [test for test in tests if test["requests"] is not None]
    timed_s = [test["duration_s"] for test in tests if test["duration_s"] is not None]
    unbounded = len(tests) - len(counted)
    parts = []
    if counted:
        total = sum(test["requests"] for test in counted)
        bound = "at most " if any(test["duration_s"] is not None for test in counted) else ""
        parts.append(f"{bound}{total:,} request{'' if total == 1 else 's'}")
    if unbounded:
        more = "more " if counted else "requests "
        whose = (
            "the test gets"
            if len(tests) == 1
            else f"{unbounded} test{' gets' if unbounded == 1 else 's get'}"
        )
        time = "its time" if unbounded == 1 else "their time"
        parts.append(f"{'and ' if counted else ''}as many {more}as {whose} done in {time}")
    if timed_s:
        whole_s = format_duration((max if mode == "parallel" else sum)(timed_s))
        whose = "the load lasts" if len(timed_s) == len(tests) else "the tests with a duration last"
        parts.append(f"{whose} {whole_s} at most")
    return "In all: " + ", ".join(parts[:-1] if timed_s else parts) + (f"; {parts[-1]}" if timed_s else "")
