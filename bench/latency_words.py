"""What each tool says of the latency, read from the most exact form that it offers. ValueError where it is not there.

All figures become milliseconds. Most tools tell percentiles; hey tells every response in CSV, to a tenth of a
millisecond, and the percentiles of that are nearest ranks of the rows.
"""

import csv
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PERMILLE = {"p50": 500, "p99": 990, "p99_9": 999}
# "50.000%    1.10ms" of wrk2, "     50%  512.00us" of wrk.
_WRK_LINE = re.compile(r"^\s*(\d+(?:\.\d+)?)%\s+([\d.]+)(us|ms|s|m|h)\s*$", re.MULTILINE)
_WRK_UNIT_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 60e3, "h": 3600e3}
_WRK_REQUESTS = re.compile(r"(\d+) requests in ")


@dataclass(frozen=True)
class Said:
    """Percentiles in milliseconds, None where the tool does not tell one; `requests` that it says it had answered."""

    p50: float | None
    p99: float | None
    p99_9: float | None
    requests: int
    remark: str = ""
    """What it says beside that bears on the figures."""

    @property
    def percentiles(self) -> dict[str, float | None]:
        return {"p50": self.p50, "p99": self.p99, "p99_9": self.p99_9}


def perfcore(text: str) -> Said:
    """Its headline, response time: from the instant that the plan had for a request."""
    document = _json(text)
    (test,) = document["results"].values()
    percentiles = test["timing"]["percentiles"]
    validity = document.get("validity", {"verdict": "valid"})
    remarks = (
        [] if validity["verdict"] == "valid" else ["; ".join([validity["verdict"], *validity["reasons"]])]
    )
    if dropped := test.get("dropped_arrivals"):
        remarks.append(f"{dropped:,} arrivals dropped")
    if failed := test["failed_requests"]:
        remarks.append(f"{failed:,} failed")
    p50, p99, p99_9 = (percentiles.get(name) for name in PERMILLE)
    return Said(p50, p99, p99_9, test["total_requests"], "; ".join(remarks))


def vegeta(text: str, hdrplot: str = "") -> Said:
    """`report -type=json`, and p99.9 from `report -type=hdrplot`: its first line from there on."""
    document = _json(text)
    latencies = document["latencies"]
    p99_9 = None
    for line in hdrplot.splitlines():
        words = line.split()
        if len(words) == 4 and re.fullmatch(r"[01]\.\d+", words[1]) and float(words[1]) >= 0.999:
            p99_9 = float(words[0])
            break
    return Said(latencies["50th"] / 1e6, latencies["99th"] / 1e6, p99_9, document["requests"])


def oha(text: str) -> Said:
    document = _json(text)
    percentiles = document["latencyPercentiles"]
    values = (percentiles[name] for name in ("p50", "p99", "p99.9"))
    p50, p99, p99_9 = (None if value is None else value * 1e3 for value in values)
    # What is under way at the end is cut, by its design.
    errors = {name: count for name, count in document["errorDistribution"].items() if "deadline" not in name}
    remark = "; ".join(f"{count:,} {name}" for name, count in errors.items())
    requests = sum(document["statusCodeDistribution"].values())
    return Said(p50, p99, p99_9, requests, remark)


def k6(text: str) -> Said:
    """http_req_duration: from the first byte sent; making a connection and waiting for a free user are not in it."""
    metrics = _json(text)
    values = metrics["http_req_duration"]["values"]
    dropped = metrics.get("dropped_iterations", {}).get("values", {}).get("count", 0)
    remark = f"{dropped:,.0f} iterations dropped" if dropped else ""
    p50, p99, p99_9 = (values[name] for name in ("p(50)", "p(99)", "p(99.9)"))
    return Said(p50, p99, p99_9, metrics["http_reqs"]["values"]["count"], remark)


def autocannon(text: str) -> Said:
    """Whole milliseconds; answers that were late are corrected for, unless it is told otherwise."""
    document = _json(text)
    latency = document["latency"]
    return Said(latency["p50"], latency["p99"], latency["p99_9"], document["2xx"])


def hey(text: str) -> Said:
    times = sorted(float(row["response-time"]) for row in csv.DictReader(io.StringIO(text)))
    if not times:
        raise ValueError("hey told of no response")
    ranks = (-(-len(times) * permille // 1000) for permille in PERMILLE.values())
    # Rounded to the places that it writes, which the factor would spoil.
    p50, p99, p99_9 = (round(times[rank - 1] * 1e3, 1) for rank in ranks)
    return Said(p50, p99, p99_9, len(times))


def wrk(text: str) -> Said:
    """Of wrk, which tells no p99.9, and of wrk2 with `--latency`."""
    told: dict[float, float] = {}
    for percent, value, unit in _WRK_LINE.findall(text):
        told.setdefault(float(percent), float(value) * _WRK_UNIT_MS[unit])
    requests = _WRK_REQUESTS.search(text)
    if 50.0 not in told or requests is None:
        raise ValueError(f"no latency distribution in {text[:200]!r}")
    return Said(told[50.0], told.get(99.0), told.get(99.9), int(requests[1]))


def _json(text: str) -> Mapping[str, Any]:
    """The first object in it that is whole; some write more around it."""
    start = text.find("{")
    if start < 0:
        raise ValueError(f"no JSON in {text[:200]!r}")
    document, _ = json.JSONDecoder().raw_decode(text[start:])
    if not isinstance(document, dict):
        raise ValueError(f"no JSON object in {text[:200]!r}")
    return document
