"""What a result says of a test's requests, but for the time they took: the same, whichever engine carried them."""

from collections.abc import Mapping
from typing import Any

from integration.runs import TRANSPORT_ERRORS
from integration.suite_kinds import REQUESTS, Kind

_COUNTED = (
    "total_requests", "successful_requests", "failed_requests", "interrupted_requests", "attempts",
    "retried_requests", "resent_requests", "connections_opened", "status_codes", "errors", "checks", "bytes",
    "addresses", "http_versions",
)  # fmt: skip
_OF_ATTEMPTS = ("attempts", "bytes", "addresses", "http_versions", "resent_requests", "connections_opened")
# Of requests that timed out.
HOW_FAR_IT_CAME = ("bytes", "http_versions", "phases", "samples")
_TIMES = ("timing", "timing_failed", "timing_reused", "service_time")


def facts_of(test: Mapping[str, Any], one: Kind | None = None) -> dict[str, Any]:
    """What of a test's result has to be the same; without what its kind leaves to chance."""
    facts = {name: test[name] for name in _COUNTED}
    facts["phases"] = {phase: told["count"] for phase, told in test["phases"].items()}
    facts["times"] = {name: test[name]["count"] for name in _TIMES}
    facts["failures"] = {told["kind"]: told["count"] for told in test["failures"]}
    facts["samples"] = samples_of(test)
    for name in left_to_chance(one) if one is not None else ():
        del facts[name]
    return facts


def left_to_chance(one: Kind) -> set[str]:
    """Whose requests fail may be chance, and how far an answer had come when it was given up."""
    names = set(_OF_ATTEMPTS) if one.attempts is None else set()
    failed = sum(one.errors.values()) if one.errors is not None else 0
    if one.retried not in (0, REQUESTS) or failed not in (0, REQUESTS):
        # It may have been the request that opened the connection, or one whose answer was not kept.
        names |= {"retried_requests", "phases", "times", "samples"}
    if one.errors is not None and "timeout" in one.errors:
        names |= {*HOW_FAR_IT_CAME}
    return names


def samples_of(test: Mapping[str, Any]) -> set[tuple[Any, ...]]:
    """What was sent and what came, of all samples of failures: how many were kept of a sort is chance.

    A failed transport is told in the words of the engine, and of a time nobody knows which it was. Of libcurl transfers
    the first may be known by its status alone.
    """
    found = set()
    for failure in test["failures"]:
        has_words_of_its_own = failure["kind"] in TRANSPORT_ERRORS or failure["kind"].endswith("max_time")
        for sample in failure["samples"]:
            headers = tuple(sorted((k, v) for k, v in sample["headers"].items() if k != "date"))
            detail = None if has_words_of_its_own else sample["detail"]
            # Which of many requests, each with a query of its own, become samples is chance as well.
            request = sample["request"].partition("?")[0]
            found.add((failure["kind"], request, sample["status"], detail, headers, sample["body"]))
    whole = {(kind, request, status) for kind, request, status, _, *answer in found if any(answer)}
    return {one for one in found if any(one[4:]) or one[:3] not in whole}


def needs_transfers(keys: Mapping[str, Any]) -> bool:
    """Whether a kind asks for something that only libcurl's transfers do, by the keys of its test."""
    auth = keys.get("auth", {}).get("type")
    return bool(
        keys.get("follow_redirects")
        or keys.get("http_version") == 2
        or keys.get("proxy")
        or auth not in (None, "basic", "bearer")
        or (keys.get("compressed") and "expect" in keys)
        or "@" in keys["endpoint"].partition("://")[2].partition("/")[0]
    )


def assert_each_has_its_engine(test: Mapping[str, Any], transferred: Mapping[str, Any], kind: Kind) -> None:
    """A kind's result where the engine was chosen for it, and where transfers were asked for."""
    assert_says_who_carried_it(test, "transfer" if needs_transfers(kind.keys) else "wire")
    assert_says_who_carried_it(transferred, "transfer")


def assert_says_who_carried_it(test: Mapping[str, Any], engine: str) -> None:
    """`engine` is what the result has to name; only the wire path recognises answers, where there are any."""
    assert test["engine"] == engine
    share = test["recognised_share"]
    if engine == "wire" and test["status_codes"]:
        assert 0 <= share <= 1
    else:
        assert share is None
