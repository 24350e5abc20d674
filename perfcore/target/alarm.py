"""Wakes an asyncio loop at an instant of CLOCK_MONOTONIC, to tens of microseconds.

The loop's own timers go through epoll's timeout, which counts whole milliseconds: a delay of 0.2 ms would hold a
request for 1.1 ms. A timerfd is exact and costs no spinning. Python has `os.timerfd_create` from 3.13 only, hence
ctypes. One alarm serves a whole server; its descriptor belongs to it until `close`.
"""

import asyncio
import contextlib
import ctypes
import heapq
import os
import time
from collections.abc import Callable

_TFD_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC
_TFD_TIMER_ABSTIME = 1
# Cancelled entries stay in the heap until they are due; beyond this many the heap is rebuilt without them, or
# clients that give up on long delays would make it grow.
_MAX_CANCELLED = 1_000


class _TimerSpec(ctypes.Structure):
    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


class Entry:
    """One agreed call; ordered by due time, then by age."""

    __slots__ = ("call", "due_ns", "number")

    def __init__(self, due_ns: int, number: int, call: Callable[[], None]) -> None:
        self.due_ns = due_ns
        self.number = number
        self.call: Callable[[], None] | None = call

    def __lt__(self, other: "Entry") -> bool:
        return (self.due_ns, self.number) < (other.due_ns, other.number)


class Alarm:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._libc.timerfd_create(time.CLOCK_MONOTONIC, _TFD_NONBLOCK_CLOEXEC)
        if self._descriptor < 0:
            error = ctypes.get_errno()
            raise OSError(error, f"timerfd_create: {os.strerror(error)}")
        self._spec = _TimerSpec()
        self._heap: list[Entry] = []
        self._number = 0
        self._cancelled = 0
        self._loop = loop
        loop.add_reader(self._descriptor, self._ring)

    def at(self, due_ns: int, call: Callable[[], None]) -> Entry:
        """Have `call` called on the loop at `due_ns`, or in the loop's next pass when that is past."""
        self._number += 1
        entry = Entry(due_ns, self._number, call)
        heapq.heappush(self._heap, entry)
        if self._heap[0] is entry:
            self._arm()
        return entry

    def cancel(self, entry: Entry) -> None:
        if entry.call is None:
            return
        entry.call = None
        self._cancelled += 1
        if self._cancelled > _MAX_CANCELLED and self._cancelled * 2 > len(self._heap):
            self._heap = [kept for kept in self._heap if kept.call is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def close(self) -> None:
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._heap.clear()

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._descriptor, 8)
        now_ns = time.monotonic_ns()
        try:
            while self._heap and self._heap[0].due_ns <= now_ns:
                entry = heapq.heappop(self._heap)
                call, entry.call = entry.call, None
                if call is None:
                    self._cancelled -= 1
                else:
                    call()
        finally:
            self._arm()

    def _arm(self) -> None:
        if not self._heap:
            return
        # An instant of 0 would disarm the timer.
        self._spec.value_s, self._spec.value_ns = divmod(max(self._heap[0].due_ns, 1), 1_000_000_000)
        spec = ctypes.byref(self._spec)
        if self._libc.timerfd_settime(self._descriptor, _TFD_TIMER_ABSTIME, spec, None) != 0:
            error = ctypes.get_errno()
            raise OSError(error, f"timerfd_settime: {os.strerror(error)}")
