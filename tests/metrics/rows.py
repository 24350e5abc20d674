"""Sample rows for tests: plain ones, ones of every outcome, and the writer's side of them."""

from types import SimpleNamespace

import numpy as np

from perfcore.metrics.outcomes import CODE
from perfcore.metrics.samples import (
    CONNECTED,
    DELAY_DISCARDED,
    INTERRUPTED,
    RESENT,
    RETRIED,
    SAMPLE,
    packed_delay,
)

START_NS = 1_000_000_000_000
TRANSPORT = [
    "dns",
    "refused",
    "unreachable",
    "connect_timeout",
    "tls",
    "reset",
    "closed",
    "timeout",
    "truncated",
    "bad_response",
    "too_many_redirects",
]
EXPECTATIONS = [
    "expectation:status",
    "expectation:header",
    "expectation:body",
    "expectation:json",
    "expectation:max_time",
]


def rows_of(
    count, *, case=0, start_ns=START_NS, service_ns=1_000_000, lag_ns=0, every_ns=1_000_000, **columns
):
    """`count` successful requests, one every millisecond, that took a millisecond each."""
    rows = np.zeros(count, SAMPLE)
    rows["due_ns"] = start_ns + every_ns * np.arange(count)
    rows["issued_ns"] = rows["due_ns"] + lag_ns
    rows["done_ns"] = rows["issued_ns"] + service_ns
    rows["case"] = case
    rows["status"] = 200
    rows["attempts"] = 1
    for name, value in columns.items():
        rows[name] = value
    return rows


def random_rows(seed, count, *, tests=1, span_ns=3_000_000_000, ok=0.6, interrupted=0.02):
    """Rows of every outcome; instants spread over `span_ns`."""
    rng = np.random.default_rng(seed)
    service = (rng.lognormal(0, 1, count) * 1e6).astype(np.int64)
    lag = np.where(rng.random(count) < 0.5, 0, rng.integers(0, 5_000_000, count))
    rows = rows_of(count, service_ns=service, lag_ns=lag)
    shift = rng.integers(0, span_ns, count) - (rows["due_ns"] - START_NS)
    for name in ("due_ns", "issued_ns", "done_ns"):
        rows[name] += shift
    rows["case"] = rng.integers(0, tests, count)
    failing = rng.random(count) >= ok
    kinds = np.array([CODE[kind] for kind in TRANSPORT + EXPECTATIONS])
    rows["error"] = np.where(failing, rng.choice(kinds, count), 0)
    answered = (rows["error"] == 0) | (rows["error"] >= CODE["expectation:status"])
    rows["status"] = np.where(answered, rng.choice([200, 201, 204, 404, 503], count), 0)
    rows["flags"] = np.where(rng.random(count) < 0.2, CONNECTED, 0)
    resent = rng.random(count) < 0.05
    rows["flags"] |= np.where(resent, RESENT, 0).astype(np.uint8)
    rows["flags"] |= np.where(rng.random(count) < interrupted, INTERRUPTED, 0).astype(np.uint8)
    fate = rng.integers(0, 3, count)
    waited = (service * rng.random(count)).astype(np.int64)
    rows["delay_us"] = np.where(fate == 1, DELAY_DISCARDED, waited // 1000)
    rows["delay_weight"] = np.where(fate == 0, 0, rng.integers(1, 9, count))
    tries = rng.choice([0, 0, 0, 1, 3], count)
    rows["attempts"] = 1 + resent + tries
    rows["flags"] |= np.where(tries > 0, RETRIED, 0).astype(np.uint8)
    connected = (rows["flags"] & CONNECTED) != 0
    rows["connections"] = connected + tries
    # Earlier tries took a part of what lies between due and the last issue.
    rows["earlier_us"] = np.where(tries > 0, (rows["issued_ns"] - rows["due_ns"]) // 3000, 0)
    for name in ("dns_us", "connect_us", "tls_us"):
        rows[name] = np.where(connected, rng.choice([0, 15, 700], count), 0)
    rows["ttfb_us"] = np.where(answered, service // 1000, 0)
    rows["received_bytes"] = rng.integers(0, 10**6, count)
    rows["sent_bytes"] = rng.integers(0, 10**4, count)
    return rows


def samples_of(users):
    """What a writer is given, one for each user number."""
    return [
        SimpleNamespace(
            due_ns=user,
            issued_ns=user + 1,
            done_ns=user + 2,
            received_bytes=user * 3,
            sent_bytes=5,
            failed_checks=2**63 + 1,
            dns_us=6,
            connect_us=7,
            tls_us=8,
            ttfb_us=9,
            user=user,
            case=11,
            step=12,
            status=13,
            attempts=14,
            error=15,
            flags=16,
            connections=17,
            earlier_us=18,
            delay=packed_delay(19, 3),
        )
        for user in users
    ]
