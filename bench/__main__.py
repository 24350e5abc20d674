"""`make bench`: every bench in turn, each in a process of its own.

A bench prints what it measured and judges nothing: these are figures of one machine at one time, and ratios
measured side by side are what may be compared.
"""

import subprocess
import sys

BENCHES = ("bench.recording", "bench.profile")


def main() -> int:
    worst = 0
    for name in BENCHES:
        print(f"== {name}", flush=True)
        worst = max(worst, subprocess.run([sys.executable, "-m", name], check=False).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
