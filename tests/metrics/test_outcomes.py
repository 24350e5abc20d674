"""Error kinds and their codes."""

from perfcore.metrics import outcomes

# The codes in sample files of version 1; a change here makes old files read wrong.
STORED = {
    "dns": 1,
    "refused": 2,
    "unreachable": 3,
    "connect_timeout": 4,
    "tls": 5,
    "reset": 6,
    "closed": 7,
    "timeout": 8,
    "truncated": 9,
    "bad_response": 10,
    "too_many_redirects": 11,
    "expectation:status": 12,
    "expectation:header": 13,
    "expectation:body": 14,
    "expectation:json": 15,
    "expectation:max_time": 16,
}


def test_codes_are_those_of_stored_samples():
    assert {kind: outcomes.CODE[kind] for kind in STORED} == STORED
    assert outcomes.CODE[""] == outcomes.NONE == 0
    assert [outcomes.ERROR_KINDS[code] for code in range(17)] == ["", *STORED]


def test_transport_kinds_are_those_without_a_whole_answer():
    assert list(STORED)[:11] == list(outcomes.ERROR_KINDS[1 : outcomes.LAST_TRANSPORT_KIND + 1])
