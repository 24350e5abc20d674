"""Waiting for sockets and for an instant: the one place that knows epoll.

Whatever else the system offers one day (kqueue, io_uring) stands here. epoll's own time-out is whole
milliseconds, rounded up, and half a millisecond late at the median; select() on the epoll descriptor takes
microseconds, so a wait that ends at a due instant goes through it.
"""

import ctypes
import select

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
MAX_EVENTS = 64
_COARSE_WAIT_S = 0.002
_FIRST_BEYOND_SELECT = 1024
_PR_SET_TIMERSLACK = 29


class Poller:
    """Level-triggered readiness of descriptors. Made after the fork, early: select() needs its number below 1024."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self.register = self._epoll.register
        self.modify = self._epoll.modify
        self.unregister = self._epoll.unregister
        self._poll = self._epoll.poll
        # select() takes no descriptor from 1,024 on, as a caller with many open ones may leave us.
        self._waitable = [self._epoll.fileno()] if self._epoll.fileno() < _FIRST_BEYOND_SELECT else []

    def wait(self, timeout_s: float) -> list[tuple[int, int]]:
        """(descriptor, events) of at most MAX_EVENTS that are ready, after at most `timeout_s`."""
        if timeout_s <= 0:
            return self._poll(0, MAX_EVENTS)
        if timeout_s >= _COARSE_WAIT_S:
            # Ends up to a millisecond early; whoever waits for an instant asks again for the rest.
            return self._poll(timeout_s - 0.001, MAX_EVENTS)
        if not self._waitable:
            return self._poll(timeout_s, MAX_EVENTS)
        if select.select(self._waitable, (), (), timeout_s)[0]:
            return self._poll(0, MAX_EVENTS)
        return []

    def fileno(self) -> int:
        """A descriptor that is readable while any of those registered is ready."""
        return self._epoll.fileno()

    def close(self) -> None:
        self._epoll.close()


def is_readable(fd: int) -> bool:
    """Whether there is something to read at this moment, an end or an error included."""
    now = select.poll()
    now.register(fd, select.POLLIN)
    return bool(now.poll(0))


def ask_for_exact_timers() -> None:
    """Let the kernel wake this process to the microsecond instead of 50 µs late (prctl PR_SET_TIMERSLACK)."""
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
