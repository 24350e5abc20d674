"""What the target counts: every request that it received whole, by path, and every connection.

The client's figures are checked against these, so they are exact: a request counts when its last byte was
parsed, whatever becomes of the answer. Requests for /stats and /truth/held are left out, and so is a connection that
asked for nothing else (`hide`), so that looking does not change what is seen.
"""

MAX_PATHS = 1_000
OTHER = "other"
_MAX_KEY_LENGTH = 200


class PathCount:
    """A counter that requests hold on to, so that counting one is a single addition."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Counters:
    """Since the start or the last `reset`; only `open_connections` is a state and survives a reset."""

    def __init__(self) -> None:
        self.opened_connections = 0
        self.open_connections = 0
        self.rejected = 0
        self.resets = 0
        self._paths: dict[str, PathCount] = {}

    def path(self, path: str) -> PathCount:
        """The counter of this path; beyond MAX_PATHS distinct ones all further paths share `other`."""
        key = path[:_MAX_KEY_LENGTH]
        counter = self._paths.get(key)
        if counter is None:
            if len(self._paths) >= MAX_PATHS:
                key = OTHER
            counter = self._paths.setdefault(key, PathCount())
        return counter

    def open(self) -> int:
        """Count a new connection. The number returned is for `hide`: it names the reset that it belongs to."""
        self.opened_connections += 1
        self.open_connections += 1
        return self.resets

    def hide(self, opened_at: int) -> None:
        """Take back a connection that turned out to ask for /stats; `opened_at` is what `open` returned."""
        self.open_connections -= 1
        if opened_at == self.resets:
            self.opened_connections -= 1

    def close(self) -> None:
        self.open_connections -= 1

    def reset(self) -> None:
        """Start anew. Counters handed out before are cut off: whoever keeps them must ask for new ones."""
        self._paths = {}
        self.opened_connections = 0
        self.rejected = 0
        self.resets += 1

    def snapshot(self) -> dict[str, object]:
        paths = {path: counter.count for path, counter in self._paths.items() if counter.count}
        return {
            "requests": sum(paths.values()),
            "connections": self.opened_connections,
            "open_connections": self.open_connections,
            "rejected": self.rejected,
            "paths": paths,
        }
