"""The form of a traceparent header, and whose ids are whose."""

import re
import uuid

from hypothesis import given
from hypothesis import strategies as st

from perfcore.metrics.trace_ids import TraceIds

# The ABNF of https://www.w3.org/TR/trace-context/#traceparent-header-field-values; neither id may be all zeroes.
LINE = re.compile("traceparent: 00-(?!0{32}-)([0-9a-f]{32})-(?!0{16}-)([0-9a-f]{16})-01")
RUNS = st.uuids(version=4)
CASES = st.integers(0, 2**16 - 1)
USERS = st.integers(0, 2**32 - 1)
INSTANTS = st.integers(0, 2**63 - 1)
REQUESTS = st.tuples(RUNS, CASES, USERS, INSTANTS)


def ids_of(run: uuid.UUID, case: int, user: int, due_ns: int) -> tuple[str, str]:
    """Trace id and parent id, from the header."""
    found = LINE.fullmatch(TraceIds(run, case).header(user, due_ns))
    assert found is not None
    return found[1], found[2]


@given(REQUESTS)
def test_a_header_is_well_formed_and_its_trace_id_is_the_one_that_is_told(
    request: tuple[uuid.UUID, int, int, int],
) -> None:
    run, case, user, due_ns = request
    trace_id, _ = ids_of(*request)
    assert TraceIds(run, case).trace_id(user, due_ns) == trace_id


@given(REQUESTS, REQUESTS, st.lists(st.booleans(), min_size=4, max_size=4))
def test_requests_that_differ_in_anything_share_no_id(
    one: tuple[uuid.UUID, int, int, int], other: tuple[uuid.UUID, int, int, int], takes: list[bool]
) -> None:
    mixed = tuple(theirs if taken else own for own, theirs, taken in zip(one, other, takes, strict=True))
    (trace, parent), (other_trace, other_parent) = ids_of(*one), ids_of(*mixed)  # type: ignore[arg-type]
    assert (trace == other_trace) is (parent == other_parent) is (one == mixed)


def test_the_order_in_which_ids_are_asked_for_does_not_matter() -> None:
    ids = TraceIds(uuid.UUID(int=5), 3)
    first = [ids.trace_id(user, 7) for user in range(50)]
    assert [ids.trace_id(user, 7) for user in reversed(range(50))] == first[::-1]
    assert len(set(first)) == 50
