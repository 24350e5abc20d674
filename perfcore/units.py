"""Durations, counts, rates and sizes, as people write them and as they are shown.

Inside, time is seconds (float) or nanoseconds (int), a rate is per second, a size is bytes: this shelf is the
door at which other units are turned into those. Every parser raises ValueError with the forms it would take.
"""

import math
import re

_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ms|us|µs|ns|s|m|h|d)", re.ASCII)
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER = re.compile(r"\d+(?:\.\d*)?|\.\d+", re.ASCII)
_COUNT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)([kM]?)", re.ASCII)
_COUNT_FACTOR = {"": 1, "k": 1_000, "M": 1_000_000}
_RATE = re.compile(r"(\d+(?:\.\d*)?[kM]?|\.\d+[kM]?)(?:/(s|m|min|h))?", re.ASCII)
_LONGEST_QUOTED = 60
# Characters; a rate below 1/s that takes more of them was meant by the minute or by the hour.
_SHORT_RATE = 6
_RATE_SECONDS = {None: 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def parse_duration(value: object) -> float:
    """Seconds, from a number of seconds or from text like `30s`, `500ms`, `1m30s`, `1h`."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(_duration_message(value))
    if isinstance(value, int | float):
        seconds = _as_float(value)
    else:
        text = value.strip()
        if _NUMBER.fullmatch(text):
            seconds = float(text)
        else:
            parts = list(_DURATION_PART.finditer(text))
            if not parts or "".join(part.group(0) for part in parts) != text:
                raise ValueError(_duration_message(value))
            seconds = math.fsum(float(part.group(1)) * _SECONDS[part.group(2)] for part in parts)
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(_duration_message(value))
    return seconds


def _as_float(number: int | float) -> float:
    """Infinity for a whole number that is too large for a float."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _cut(value: object) -> str:
    """The value as a message shows it; of a huge number Python refuses the digits."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= _LONGEST_QUOTED else text[: _LONGEST_QUOTED - 1] + "…"


def _duration_message(value: object) -> str:
    return f"{_cut(value)} is not a duration; write 30 (seconds), 30s, 500ms, 1m30s or 1h"


def parse_count(value: object) -> int:
    """A whole number, from an int or from text like `200`, `1k`, `1.5M`."""
    message = f"{_cut(value)} is not a count; write a whole number such as 200, 10k or 1M"
    if isinstance(value, bool):
        raise ValueError(message)
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, str):
        raise ValueError(message)
    match = _COUNT.fullmatch(value.strip())
    if match is None:
        raise ValueError(message)
    count = float(match.group(1)) * _COUNT_FACTOR[match.group(2)]
    if not count.is_integer():
        raise ValueError(message)
    return int(count)


def parse_rate(value: object) -> float:
    """Events per second, from a number or from text like `500/s`, `30/m`, `100/h`, `2k/s`."""
    message = f"{_cut(value)} is not a rate; write 500/s, 30/m, 100/h or 1.5/s"
    if isinstance(value, bool):
        raise ValueError(message)
    if isinstance(value, int | float):
        rate = _as_float(value)
        if not math.isfinite(rate) or rate < 0:
            raise ValueError(message)
        return rate
    match = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(message)
    number = match.group(1)
    factor = _COUNT_FACTOR.get(number[-1:]) if number[-1:] in "kM" else None
    amount = float(number[:-1]) * factor if factor else float(number)
    return amount / _RATE_SECONDS[match.group(2)]


def exact_rate(per_s: float) -> str:
    """A rate as somebody asked for it: `500/s`, `0.1/s`, `12,500/s`, `100/h` where that is shorter."""
    per_second = f"{per_s:,.10g}"
    if per_s >= 1 or len(per_second) <= _SHORT_RATE:
        return f"{per_second}/s"
    for unit in ("m", "h"):
        text = f"{per_s * _RATE_SECONDS[unit]:,.10g}"
        if len(text) <= _SHORT_RATE:
            return f"{text}/{unit}"
    return f"{per_second}/s"


def format_duration(seconds: float) -> str:
    """The shortest honest form: `250ms`, `30s`, `1m30s`, `2h`."""
    if seconds == 0:
        return "0s"
    if seconds < 1e-3:
        return f"{_trim(seconds * 1e6)}µs"
    if seconds < 1:
        return f"{_trim(seconds * 1e3)}ms"
    if seconds < 60:
        return f"{_trim(seconds)}s"
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return "".join(f"{n}{unit}" for n, unit in ((hours, "h"), (minutes, "m"), (left, "s")) if n)


def _trim(number: float) -> str:
    return f"{number:.3f}".rstrip("0").rstrip(".")


def format_ms(milliseconds: float | None) -> str:
    """Three significant digits and a unit, for a table: `0.123ms`, `12.3ms`, `1.23s`; a dash for nothing."""
    if milliseconds is None:
        return "–"
    if milliseconds >= 99_950:
        return f"{milliseconds / 1000:.0f}s"
    if milliseconds >= 9_995:
        return f"{milliseconds / 1000:.1f}s"
    if milliseconds >= 999.5:
        return f"{milliseconds / 1000:.2f}s"
    if milliseconds >= 99.95:
        return f"{milliseconds:.0f}ms"
    if milliseconds >= 9.995:
        return f"{milliseconds:.1f}ms"
    if milliseconds >= 0.9995:
        return f"{milliseconds:.2f}ms"
    return f"{milliseconds:.3f}ms"


def format_bytes(size: float) -> str:
    """Binary units with three significant digits: `31 B`, `1.21 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return (
                f"{size:.0f} {unit}"
                if unit == "B"
                else f"{size:.3g} {unit}"
                if size < 1000
                else f"{size:.0f} {unit}"
            )
        size /= 1024
    raise AssertionError("unreachable: the last unit takes every size")


_SIZE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([kKMGT]?)(i?)B?", re.ASCII)
_LARGEST_SIZE = 2**60
_SIZE_POWER = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def parse_size(value: str) -> int:
    """Bytes, from text like `500MB` (decimal), `2GiB` (binary) or `1048576`."""
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        raise ValueError(f"{_cut(value)} is not a size; write 500MB, 2GiB or a number of bytes")
    base = 1024 if match.group(3) else 1000
    size = float(match.group(1)) * base ** _SIZE_POWER[match.group(2).upper()]
    if size > _LARGEST_SIZE:
        raise ValueError(f"{_cut(value)} is a larger size than any disk has")
    return int(size)
