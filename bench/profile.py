"""Where the instructions of one request go: a worker under plain GETs, counted by callgrind.

    python -m bench.profile [--engine wire] [--requests 8000] [--users 50] [--functions 25]

It runs the real worker (loop, transport, recorder into its ring) in one process under valgrind, against the
embedded target in another, at two sizes, and prints the difference by object: start-up cancels out. Without
`--engine` it does so for both.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from bench import machine
from bench.target import running_target

_CHILD = "bench.worker_under_load"
ENGINES = ("wire", "transfer")
# What a request over libcurl transfers is made of; everything else is perfcore's and the interpreter's.
LIBCURL_AND_LIBC = ("libcurl", "libc.so", "libcrypto", "libssl", "ld-linux")


def count_instructions(url: str, requests: int, users: int, engine: str) -> tuple[Counter[str], Counter[str]]:
    """Instructions by object and by function of a worker that sends so many requests."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind.out"
        command = [
            "valgrind",
            "--tool=callgrind",
            f"--callgrind-out-file={out}",
            sys.executable,
            "-m",
            _CHILD,
        ]
        subprocess.run(
            [*command, url, str(requests), str(users), engine], check=True, capture_output=True, timeout=600
        )
        return parse_callgrind(out.read_text())


def parse_callgrind(text: str) -> tuple[Counter[str], Counter[str]]:
    """Self cost by object and by function from a callgrind file (format: valgrind manual, "Callgrind Format")."""
    names: dict[str, dict[str, str]] = {"ob": {}, "fn": {}}
    current = {"ob": "?", "fn": "?"}
    by_object: Counter[str] = Counter()
    by_function: Counter[str] = Counter()
    after_call = False
    for line in text.splitlines():
        if match := re.match(r"(c?)(ob|fn)=\((\d+)\)(?: (.*))?$", line):
            called, kind, number, name = match.groups()
            if name is not None:
                names[kind][number] = name
            if not called:
                current[kind] = names[kind].get(number, "?")
        elif line.startswith("calls="):
            after_call = True
        elif re.match(r"[+\-*\d]", line):
            if after_call:
                after_call = False
                continue
            fields = line.split()
            if len(fields) >= 2:
                cost = int(fields[1])
                by_object[Path(current["ob"]).name] += cost
                by_function[f"{current['fn']}  [{Path(current['ob']).name}]"] += cost
    return by_object, by_function


def share_outside_libcurl(by_object: Counter[str]) -> float:
    """Which part of the instructions is neither libcurl's nor libc's."""
    total = sum(by_object.values())
    inside = sum(cost for name, cost in by_object.items() if name.startswith(LIBCURL_AND_LIBC))
    return 1 - inside / total


def profile(engine: str, requests: int, users: int, functions: int) -> dict[str, Any]:
    """Counts, prints, and gives the instructions a request by object and by function."""
    few = max(requests // 4, users)
    with running_target() as url:
        small = count_instructions(f"{url}/health", few, users, engine)
        large = count_instructions(f"{url}/health", few + requests, users, engine)
    by_object, by_function = large[0] - small[0], large[1] - small[1]
    total = sum(by_object.values())
    print(f"{engine}: instructions a request: {total / requests:,.0f} ({users} users, plain GET)")
    for name, cost in by_object.most_common(8):
        print(f"  {100 * cost / total:5.1f} %  {cost / requests:9,.0f}  {name}")
    outside = share_outside_libcurl(by_object)
    print(f"outside libcurl and libc: {100 * outside:.1f} %")
    print("by function:")
    for name, cost in by_function.most_common(functions):
        print(f"  {100 * cost / total:5.1f} %  {cost / requests:9,.0f}  {name}", flush=True)
    return {
        "outside": outside,
        "instructions_a_request": {name: cost / requests for name, cost in by_object.most_common()},
        "functions": {name: cost / requests for name, cost in by_function.most_common(functions)},
    }


def _draw(figure: Any, profiles: dict[str, dict[str, Any]]) -> None:
    """One panel an engine, its functions with the most instructions."""
    panels = figure.subplots(1, len(profiles), squeeze=False)
    for panel, (engine, found) in zip(panels[0], profiles.items(), strict=True):
        shown = list(found["functions"].items())[:15]
        panel.barh([name[:45] for name, _ in shown], [cost for _, cost in shown])
        panel.invert_yaxis()
        panel.set_title(
            f"{engine}: {sum(found['instructions_a_request'].values()):,.0f} instructions a request"
        )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.profile", allow_abbrev=False)
    parser.add_argument("--engine", choices=ENGINES, help="this one alone (default: both)")
    parser.add_argument("--requests", type=int, default=8000)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--functions", type=int, default=25)
    parser.add_argument("--quick", action="store_true", help="2,000 requests")
    parser.add_argument("--json", type=Path, help="write the figures here (default: results/profile.json)")
    options = parser.parse_args(arguments)
    if shutil.which("valgrind") is None:
        print("bench.profile needs valgrind (Debian: apt-get install valgrind); skipped")
        return 0
    requests = 2000 if options.quick else options.requests
    engines = [options.engine] if options.engine else list(ENGINES)
    profiles = {engine: profile(engine, requests, options.users, options.functions) for engine in engines}
    if options.json:
        options.json.write_text(json.dumps(profiles, indent=2))
        return 0
    path = machine.keep("profile", {"requests": requests, "users": options.users, "engines": profiles})
    print(f"kept: {path} {machine.plot('profile', lambda figure: _draw(figure, profiles), (16, 6)) or ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
