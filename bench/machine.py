"""What a figure was measured on, and where it is kept: results/ beside this file, JSON with a plot."""

import contextlib
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"


def machine() -> dict[str, Any]:
    """Processor, cores, kernel, Python, perfcore, load before the start, date."""
    from perfcore import __version__

    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu_model": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "perfcore": __version__,
        "load_average": os.getloadavg()[0],
    }


def cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def keep(name: str, document: Mapping[str, Any]) -> Path:
    """Written as results/NAME.json, with the machine; gives its path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(
        json.dumps({"machine": machine(), "arguments": sys.argv[1:], **document}, indent=2) + "\n"
    )
    return path


def plot(name: str, draw: Callable[[Any], None], size: tuple[float, float] = (9, 5)) -> Path | None:
    """results/NAME.png by matplotlib, `draw` gets its figure; None, and a word about it, where that is missing."""
    try:
        import matplotlib  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        print("no plot: pip install 'perfcore[bench]'")
        return None
    matplotlib.use("Agg")
    from matplotlib.figure import Figure  # type: ignore[import-not-found,unused-ignore]

    RESULTS.mkdir(exist_ok=True)
    figure = Figure(figsize=size, layout="constrained")
    draw(figure)
    path = RESULTS / f"{name}.png"
    figure.savefig(path, dpi=110)
    return path
