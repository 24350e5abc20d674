"""Names behind which there are several servers, of which a run met one: its figures are of that one alone."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlsplit

from perfcore.engine.address_choice import Resolve, is_address, resolve
from perfcore.engine.plan import CasePlan

# A resolver that does not answer keeps no result waiting for longer.
_LONGEST_LOOK_UP_S = 2.0
_PORTS = {"http": 80, "https": 443}


def names_of_several(
    tests: Iterable[tuple[CasePlan, Mapping[str, object]]], look_up: Resolve = resolve
) -> tuple[str, ...]:
    """Of these tests and the addresses that each connected to; names are looked up once, for two seconds at most."""
    suspects: dict[tuple[str, int], str] = {}
    for plan, addresses in tests:
        place = _looked_up_by_libcurl(plan)
        if place is not None and len(addresses) == 1:
            suspects[place] = next(iter(addresses))
    found: dict[str, Sequence[str]] = {}

    def look_all_up() -> None:
        for host, port in suspects:
            found[host] = look_up(host, port)

    if suspects:
        thread = threading.Thread(target=look_all_up, daemon=True)
        thread.start()
        thread.join(_LONGEST_LOOK_UP_S)
    return tuple(
        dict.fromkeys(
            host for (host, _), used in suspects.items() if _are_several(used, tuple(found.get(host, ())))
        )
    )


def _looked_up_by_libcurl(plan: CasePlan) -> tuple[str, int] | None:
    """Host and port of the test's URL, where it is a name that nobody has said the address of."""
    case = plan.case
    if "${" in plan.url or case.proxy or case.unix_socket is not None:
        return None
    try:
        parts = urlsplit(plan.url)
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme.lower(), 0)
    except ValueError:
        return None
    if not host or not port or is_address(host) or host in case.resolve:
        return None
    return host, port


def _are_several(used: str, addresses: Sequence[str]) -> bool:
    """Whether the one that was used has others beside it; the same server often has one of each kind."""
    return used in addresses and sum((":" in address) == (":" in used) for address in addresses) > 1
