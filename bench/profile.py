"""Where the instructions of one request go: a worker under plain GETs, counted by callgrind.

    python -m bench.profile [--requests 8000] [--users 50] [--functions 25]

It runs the real worker (loop, transport, recorder into its ring) in one process under valgrind, against the
embedded target in another, at two sizes, and prints the difference by object: start-up cancels out.
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

from bench.target import running_target

_CHILD = "bench.worker_under_load"
# What a request over libcurl transfers is made of; everything else is perfcore's and the interpreter's.
LIBCURL_AND_LIBC = ("libcurl", "libc.so", "libcrypto", "libssl", "ld-linux")


def count_instructions(url: str, requests: int, users: int) -> tuple[Counter[str], Counter[str]]:
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
            [*command, url, str(requests), str(users)], check=True, capture_output=True, timeout=600
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


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=8000)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--functions", type=int, default=25)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args(arguments)
    if shutil.which("valgrind") is None:
        print("bench.profile needs valgrind (Debian: apt-get install valgrind); skipped")
        return 0
    few = max(options.requests // 4, options.users)
    with running_target() as url:
        small = count_instructions(f"{url}/health", few, options.users)
        large = count_instructions(f"{url}/health", few + options.requests, options.users)
    by_object, by_function = large[0] - small[0], large[1] - small[1]
    total = sum(by_object.values())
    print(f"instructions a request: {total / options.requests:,.0f} ({options.users} users, plain GET)")
    for name, cost in by_object.most_common(8):
        print(f"  {100 * cost / total:5.1f} %  {cost / options.requests:9,.0f}  {name}")
    outside = share_outside_libcurl(by_object)
    print(f"outside libcurl and libc: {100 * outside:.1f} %")
    print("by function:")
    for name, cost in by_function.most_common(options.functions):
        print(f"  {100 * cost / total:5.1f} %  {cost / options.requests:9,.0f}  {name}")
    if options.json:
        figures = {name: cost / options.requests for name, cost in by_object.most_common()}
        options.json.write_text(json.dumps({"outside": outside, "instructions_a_request": figures}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
