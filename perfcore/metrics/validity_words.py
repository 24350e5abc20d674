"""What a signal of validity means for the figures, and what to do about it, in plain sentences."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from perfcore.metrics.validity_signal import Signal

# Of a worker that has time left for what comes unevenly, and of one that has none.
_BUSY_ENOUGH_PERCENT, _AT_ITS_LIMIT_PERCENT = 50, 90
_HELD_UP = "leave this machine to the generator: its workers had time, something else held them up"


class _Words(NamedTuple):
    subject: str
    unit: str
    meaning: str


_LATE = "requests left late, response times contain the generator's own delay"
# The order is that in which they are told: first what was not sent at all, then what is in every figure, then what
# may be in some.
_WORDS = {
    "dropped_arrivals_percent": _Words(
        "dropped arrivals were",
        " %",
        "they found no user free and were not sent, so the figures lack what they would have met",
    ),
    "achieved_starts_percent": _Words(
        "the requests started were", " % of the plan", "the server met less load than the suite asks for"
    ),
    "descriptors_percent": _Words(
        "open file descriptors of a worker were",
        " % of what it may open",
        "connections beyond it fail, for the generator's sake",
    ),
    "ephemeral_ports_percent": _Words(
        "local ports in use were", " % of those there are", "connections beyond them fail, for the generator's sake"
    ),
    "schedule_lag_growing_s": _Words(
        "schedule lag grew without a break for", " s", "the generator cannot keep up with the rate"
    ),
    "schedule_lag_p99_ms": _Words("schedule lag p99 was", " ms", _LATE),
    "client_delay_p99_percent": _Words(
        "client delay p99 was",
        " % of service time p99",
        "answers lay in the kernel until the generator read them, and that time is in the figures",
    ),
    "gc_pause_p99_ms": _Words(
        "pauses for garbage or hooks at p99 of the loop's passes took",
        " ms",
        "percentiles contain the generator's own pauses",
    ),
    "stall_share_percent": _Words(
        "stalls took",
        " % of the time",
        "the users waited and nothing was sent meanwhile, so stalls are under-stated",
    ),
    "rate_of_safe_percent": _Words(
        "the rate of a worker was",
        " % of the highest that calibration found safe",
        "beyond it this tool's own error may be more than 5 % of p99",
    ),
    "cgroup_throttled_percent": _Words(
        "the control group was throttled for", " % of the time", "the generator stood still meanwhile"
    ),
    "steal_percent": _Words(
        "steal was", " %", "the hypervisor gave the generator's cores to others, and that is in the figures"
    ),
    "run_queue_wait_percent": _Words(
        "a worker waited for a core for", " % of the time", "its waiting is in the response times"
    ),
    "loop_busy_percent": _Words(
        "a worker's loop was busy for", " % of the time", "what comes meanwhile waits for its turn"
    ),
    "longest_pass_ms": _Words(
        "the longest pass of a worker's loop took", " ms", "whatever was due or came meanwhile waited"
    ),
    "longest_gc_pause_ms": _Words(
        "the longest pause for garbage or hooks took", " ms", "every user of that worker waited"
    ),
    "worker_p99_ratio": _Words(
        "p99 of the workers differed by a factor of",
        "",
        "one of them was held up, or met another part of the server",
    ),
    "supervisor_cpu_percent": _Words(
        "the supervisor took", " % of a core", "that core was not there for the workers"
    ),
    "target_on_this_machine": _Words(
        "", "", "the target is on this machine: generator and server take cores from each other"
    ),
    "names_of_several_addresses": _Words(
        "", "", "one address was used of each name that has several: the others met no load"
    ),
}  # fmt: skip
NAMES = tuple(_WORDS)
"""Every signal, in the order in which they are told: the more of the answer one touches, the earlier."""


def reason(signal: Signal, *, names_test: bool) -> str:
    """One sentence: value, limit, and what it means for the figures."""
    subject, unit, meaning = _WORDS[signal.name]
    if signal.state == "noted":
        return f"{meaning} ({signal.detail})" if signal.detail else meaning
    test = f"{signal.test}: " if names_test and signal.test is not None else ""
    detail = f" ({signal.detail})" if signal.detail else ""
    if signal.broken_second is not None and signal.worst_second is not None:
        limit = signal.broken_second
        worst, whole = _number(signal.worst_second, limit), _number(signal.value)
        told = f"{worst}{unit} in the worst second, more than {_number(limit)} %, and {whole} % over the run"
        return f"{test}{subject} {told}: {meaning}"
    limit = (signal.invalid if signal.state == "invalid" else signal.warn) or 0.0
    beyond = _beyond(signal, limit, " %" if unit.startswith(" %") else unit)
    return f"{test}{subject} {_number(signal.value, limit)}{unit}{detail}{beyond}: {meaning}"


def _beyond(signal: Signal, limit: float, unit: str) -> str:
    """`, more than 5 %`; nothing where the limit is 0."""
    if not limit:
        return ""
    text = (signal.invalid_text if signal.state == "invalid" else signal.warn_text) or _number(limit) + unit
    if signal.is_least:
        return f", less than {text}"
    return f", more than {text}" if signal.value > limit else f", the limit being {text}"


def _number(value: float, limit: float | None = None) -> str:
    """Four digits, or as many as tell it from its limit."""
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,.9g}" if limit is not None and value != limit and text == _number(limit) else text


# -- what to do -----------------------------------------------------------------------------------------------


def advice(
    bad: Sequence[Signal],
    busy_percents: Sequence[float | None],
    usable_cores: int,
    *,
    is_full_throttle: bool,
    workers_for_a_safe_rate: int = 0,
    starts_missed: float = 1.0,
) -> list[str]:
    """What to do about signals that are not ok, the most useful first and no sentence twice.

    `busy_percents` are the workers' own, `starts_missed` how many times more was planned than could be started. At full
    throttle of a closed model it says which side set the rate.
    """
    names = {signal.name for signal in bad}
    if all(signal.state == "noted" for signal in bad):
        names.discard("target_on_this_machine")  # nothing came of it
    on_workers = _advice_on_workers(
        names, busy_percents, usable_cores, is_full_throttle, workers_for_a_safe_rate, starts_missed
    )
    others_here = _advice_on_others_here(
        names, were_held_up=on_workers == _HELD_UP, has_a_core_each=len(busy_percents) <= usable_cores
    )
    told = [
        *([on_workers] if on_workers and on_workers != _HELD_UP else []),
        *_advice_on_the_load(bad),
        *([others_here] if others_here else []),
        *_advice_on_the_machine(
            names, len(busy_percents), usable_cores, asks_for_less="less" in (on_workers or "")
        ),
    ]
    told += [
        f"dns: {{select: round_robin}} loads every address of {signal.detail}"
        for signal in bad
        if signal.name == "names_of_several_addresses"
    ]
    if is_full_throttle:
        told += _which_side(busy_percents)
    return list(dict.fromkeys(told))


def _advice_on_workers(
    names: set[str],
    busy_percents: Sequence[float | None],
    cores: int,
    is_full_throttle: bool,
    workers_for_a_safe_rate: int,
    starts_missed: float,
) -> str | None:
    """How many workers would do, where those that there are have too much to do or nobody knows."""
    overload = {
        "schedule_lag_p99_ms", "schedule_lag_growing_s", "client_delay_p99_percent", "loop_busy_percent",
        "longest_pass_ms",
    }  # fmt: skip
    if "dropped_arrivals_percent" not in names:
        overload.add("achieved_starts_percent")
    # At full throttle more workers would send more.
    calls_for = workers_for_a_safe_rate if "rate_of_safe_percent" in names and not is_full_throttle else 0
    if not names & overload and not calls_for:
        return None
    known, workers = [busy for busy in busy_percents if busy is not None], len(busy_percents)
    # Without a figure each is taken for one that is at its limit.
    total = starts_missed * (math.fsum(known) if known else 100.0 * max(workers, 1))
    needed = max(math.ceil(total / _BUSY_ENOUGH_PERCENT), calls_for)
    if needed <= workers:
        if names - {"loop_busy_percent"}:
            return _HELD_UP
        return "spread the load evenly: one worker had much more to do than the others"
    if known and is_full_throttle and max(known) >= _AT_ITS_LIMIT_PERCENT:
        return None  # More workers would send more; which side set the rate is told anyway.
    if needed <= cores:
        return f"{needed} workers would do: --procs {needed}" if known else f"use every core: --procs {cores}"
    if workers < cores:
        return f"use every core (--procs {cores}), ask for less load, or load from a larger machine"
    if known:
        return (
            f"{needed} workers would do, and this machine has {_cores(cores)} to use: load from one with {needed}, "
            "or ask for less"
        )
    return "load from a machine with more cores, or ask for less"


def _advice_on_the_load(bad: Sequence[Signal]) -> Iterator[str]:
    names = {signal.name for signal in bad}
    if "dropped_arrivals_percent" in names:
        tests = [signal.test for signal in bad if signal.name == "dropped_arrivals_percent" and signal.test]
        yield f"raise max_users of {', '.join(tests)}, or find out why so many requests were under way"
    if "stall_share_percent" in names:
        yield "use rate: in place of parallel_users: to see stalls as those meet them who do not wait"
    if "worker_p99_ratio" in names:
        yield "compare with --procs 1: if p99 is even there, a core of this machine is slower or shared"
    if names & {"longest_gc_pause_ms", "gc_pause_p99_ms"}:
        yield "make each answer cheaper to look at (smaller bodies, fewer checks), so that there is less garbage"


def _advice_on_others_here(names: set[str], *, were_held_up: bool, has_a_core_each: bool) -> str | None:
    """One piece of advice for all signals that somebody else had the generator's cores."""
    is_waited_for = "run_queue_wait_percent" in names and has_a_core_each
    has_target, is_stolen_from = "target_on_this_machine" in names, "steal_percent" in names
    causes = [has_target, were_held_up or is_waited_for, is_stolen_from]
    if sum(causes) > 1:
        parts = ["move the target to another one"] if has_target else []
        if were_held_up:
            parts.append("end what else runs here (its workers had time, something else held them up)")
        elif is_waited_for:
            parts.append("end what else runs here")
        otherwise = "; where steal stays, load from one whose cores are its own" if is_stolen_from else ""
        return f"leave this machine to the generator: {', '.join(parts)}{otherwise}"
    if has_target:
        return "move the target to another machine"
    if were_held_up:
        return _HELD_UP
    if is_waited_for:
        return "end what else runs on this machine, or load from one that has nothing else to do"
    if is_stolen_from:
        return "load from a machine whose cores are its own: steal cannot be put right from inside"
    return None


def _advice_on_the_machine(
    names: set[str], workers: int, cores: int, *, asks_for_less: bool
) -> Iterator[str]:
    if "cgroup_throttled_percent" in names:
        less = "" if asks_for_less else ", or ask for less load"
        yield f"raise the control group's CPU quota{less} ({_cores(cores)} to use)"
    if "run_queue_wait_percent" in names and workers > cores:
        yield f"use --procs {cores}: {workers} workers share {_cores(cores)}"
    if "supervisor_cpu_percent" in names:
        more = (
            f"--procs {cores - 1} leaves it a core" if workers == cores > 1 else "give it a core of its own"
        )
        yield f"the supervisor needs room: {more}"
    if "descriptors_percent" in names:
        yield "raise ulimit -n, use more workers, or fewer users"
    if "ephemeral_ports_percent" in names:
        yield "keep connections alive, name more local_addresses:, or widen net.ipv4.ip_local_port_range"


def _which_side(busy_percents: Sequence[float | None]) -> Iterator[str]:
    """At full throttle something is at its limit; whether it is the generator its loops tell."""
    busy = [percent for percent in busy_percents if percent is not None]
    at_limit = sum(percent >= _AT_ITS_LIMIT_PERCENT for percent in busy)
    if not busy:
        return
    if at_limit == len(busy):
        yield (
            f"the generator set the rate: its workers were busy for {_number(min(busy))} % of the time or more, "
            "so the server may be able to do more"
        )
    elif at_limit:
        yield (
            f"the generator set the rate in part: {at_limit} of {len(busy)} workers had no time left, "
            "so the server may be able to do more"
        )
    else:
        yield f"the server set the rate: no worker was busy for more than {_number(max(busy))} % of the time"


def _cores(number: int) -> str:
    return f"{number} core{'' if number == 1 else 's'}"
