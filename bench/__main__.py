"""`make bench`: every bench in turn, each in a process of its own.

A bench prints what it measured and judges nothing but whether a figure to reach was reached: these are figures of one
machine at one time, and ratios measured side by side are what may be compared. `--quick` is handed to each.
"""

import argparse
import subprocess
import sys

BENCHES = (
    "bench.recording",
    "bench.memory",
    "bench.scaling",
    "bench.speed",
    "bench.schedule",
    "bench.accuracy",
    "bench.profile",
)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", allow_abbrev=False)
    parser.add_argument(
        "--quick", action="store_true", help="minutes in place of an hour and a half: to try it"
    )
    options = parser.parse_args(arguments)
    more = ["--quick"] if options.quick else []
    worst = 0
    for name in BENCHES:
        print(f"\n== {name}", flush=True)
        worst = max(worst, subprocess.run([sys.executable, "-m", name, *more], check=False).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
