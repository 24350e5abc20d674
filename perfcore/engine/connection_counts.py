"""Connections and requests by test and address, and what was spoken on the connections."""


class Address:
    """A server's address of one test: connections opened to it and requests that were sent there."""

    __slots__ = ("connections", "requests")

    def __init__(self) -> None:
        self.connections = 0
        self.requests = 0


class ConnectionCounts:
    """What a transport counts beside the rows."""

    def __init__(self) -> None:
        self._addresses: dict[tuple[int, str], Address] = {}
        self._versions: dict[int, dict[str, int]] = {}

    def address(self, case: int, address: str) -> Address:
        return self._addresses.setdefault((case, address), Address())

    def note_version(self, case: int, version: str, connections: int = 1) -> None:
        """So many connections of a test have been found to speak this version of HTTP."""
        spoken = self._versions.setdefault(case, {})
        spoken[version] = spoken.get(version, 0) + connections

    def addresses(self) -> dict[int, dict[str, dict[str, int]]]:
        """By test and address: the connections opened to it and the requests sent to it."""
        counted: dict[int, dict[str, dict[str, int]]] = {}
        for (case, address), counts in self._addresses.items():
            figures = {"connections": counts.connections, "requests": counts.requests}
            counted.setdefault(case, {})[address] = figures
        return counted

    def http_versions(self) -> dict[int, dict[str, int]]:
        """By test: connections by the version of HTTP that was spoken on them."""
        return self._versions
