"""What the parts of a suite file come to: the environment over the suite, the defaults under each test.

Works on plain data by the keys of the file. `origins` tells for each key path of the merged data where it was
written, so that a mistake in `defaults` is told at `defaults`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from perfcore.suite.load_keys import displaced_load_keys
from perfcore.suite.mistakes import KeyPath
from perfcore.suite.option_conflicts import HEADER_OF_KEY, has_header, is_asked
from perfcore.suite.test_case import BODY_KEYS

# These are merged name by name; of every other key the nearer value replaces the whole farther one.
_BY_NAME_IN_SUITE = ("variables", "tags")
_BY_NAME_IN_TEST = ("headers", "params")
# The defaults' body is not dropped for a header: with another Content-Type it would still be meant.
_DISPLACED_BY_HEADER = ("auth", "compressed", "trace")


class Origins:
    """Where merged data was written. Paths that were never moved are their own origin."""

    def __init__(self) -> None:
        self._moved: dict[KeyPath, KeyPath] = {}

    def record(self, merged: KeyPath, written: KeyPath) -> None:
        self._moved[merged] = self.of(written)

    def record_all(self, moves: Iterable[tuple[KeyPath, KeyPath]]) -> None:
        """Records them at once: none of the places that they come from is the result of another of them."""
        written = [(merged, self.of(source)) for merged, source in moves if merged != source]
        self._moved.update(written)

    def of(self, path: KeyPath) -> KeyPath:
        for length in range(len(path), 0, -1):
            if path[:length] in self._moved:
                return self._moved[path[:length]] + path[length:]
        return path


def merge_environment(suite: dict[str, Any], name: str | None, origins: Origins) -> dict[str, Any]:
    """The suite's keys with those of the chosen environment over them.

    variables and tags merge by name, defaults key by key, secrets add up; every other key is replaced.
    """
    environments = suite.get("environments")
    merged = {key: value for key, value in suite.items() if key != "environments"}
    chosen = environments.get(name) if isinstance(environments, dict) and name is not None else None
    for key, value in chosen.items() if isinstance(chosen, dict) else ():
        written: KeyPath = ("environments", str(name), key)
        below = merged.get(key)
        if key in _BY_NAME_IN_SUITE and isinstance(below, dict) and isinstance(value, dict):
            merged[key] = {**below, **value}
            for entry in value:
                origins.record((key, entry), (*written, entry))
        elif key == "defaults" and isinstance(below, dict) and isinstance(value, dict):
            merged[key] = merge_test(value, below, written, ("defaults",), origins, into=("defaults",))
        elif key == "secrets" and isinstance(below, list) and isinstance(value, list):
            merged[key] = below + value
        else:
            merged[key] = value
            origins.record((key,), written)
    return merged


def merge_defaults(suite: dict[str, Any], origins: Origins) -> dict[str, Any]:
    """The suite with its defaults under each test, and without the key `defaults`."""
    defaults, tests = suite.get("defaults"), suite.get("tests")
    merged = {key: value for key, value in suite.items() if key != "defaults"}
    if isinstance(defaults, dict) and isinstance(tests, list):
        usable = {key: value for key, value in defaults.items() if key != "name"}
        merged["tests"] = [
            merge_test(test, usable, ("tests", index), ("defaults",), origins, into=("tests", index))
            if isinstance(test, dict)
            else test
            for index, test in enumerate(tests)
        ]
    return merged


def merge_test(
    near: dict[str, Any],
    far: Mapping[str, Any],
    near_path: KeyPath,
    far_path: KeyPath,
    origins: Origins,
    into: KeyPath,
) -> dict[str, Any]:
    """The keys of `near`, and those of `far` that it does not have.

    A key of `near` replaces that of `far` whole; only headers (names compared without case) and params merge by
    name. The bodies displace each other, so do the keys of different load models, `auth` and an Authorization
    header, `compressed` and an Accept-Encoding header, `trace` and a traceparent header; `multipart` displaces a
    Content-Type header.
    """
    merged: dict[str, Any] = {}
    displaced_load = displaced_load_keys(near)
    moves: list[tuple[KeyPath, KeyPath]] = []
    for key, value in far.items():
        own = near.get(key)
        if key in _BY_NAME_IN_TEST and isinstance(value, dict) and (isinstance(own, dict) or key not in near):
            value = _without_displaced(key, value, own or {}, near)
            merged[key] = {**value, **(own or {})}
            moves += [((*into, key, name), (*far_path, key, name)) for name in value]
            moves += [((*into, key, name), (*near_path, key, name)) for name in own or {}]
        elif key not in near and key not in displaced_load and not _is_displaced(key, near):
            merged[key] = value
            moves.append(((*into, key), (*far_path, key)))
    for key, value in near.items():
        if key not in merged:
            merged[key] = value
            moves.append(((*into, key), (*near_path, key)))
    origins.record_all(moves)
    return merged


def _is_displaced(key: str, near: Mapping[str, Any]) -> bool:
    if key in _DISPLACED_BY_HEADER and has_header(near.get("headers"), HEADER_OF_KEY[key]):
        return True
    return key in BODY_KEYS and any(other in near for other in BODY_KEYS)


def _without_displaced(
    key: str, far: dict[str, Any], own: dict[str, Any], near: Mapping[str, Any]
) -> dict[str, Any]:
    if key != "headers":
        return {name: value for name, value in far.items() if name not in own}
    taken = {name.lower() for name in own}
    taken |= {header for made_by, header in HEADER_OF_KEY.items() if is_asked(near.get(made_by))}
    return {name: value for name, value in far.items() if name.lower() not in taken}
