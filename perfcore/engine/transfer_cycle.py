"""The fast path of libcurl transfers: plain successes are recorded, and their users go on, without the loop's help.

See transport.Cycle. Everything else takes the general way (transfer_figures and the loop), and the tests compare both.
"""

import pycurl

from perfcore.engine.curl_handle import User
from perfcore.engine.cycle import Cycle
from perfcore.engine.scenario import Scenario
from perfcore.engine.transport import Exchange, Request
from perfcore.metrics.samples import ROW_BYTES, SEQUENCE_MASK, pack_plain_row, plain_rest

_RESPONSE_CODE = pycurl.RESPONSE_CODE
_FIRST_BYTE_US = pycurl.STARTTRANSFER_TIME_T
_BODY_SIZE = pycurl.SIZE_DOWNLOAD_T
_HEAD_SIZE = pycurl.HEADER_SIZE
_TOTAL_US = pycurl.TOTAL_TIME_T


def cycle_for(exchange: Exchange, request: Request, user: User) -> Cycle | None:
    """The cycle in which this user sends this request, where nothing has to be done before it is sent again."""
    cycle: Cycle | None = exchange.load.cycle if exchange.load is not None else None
    if (
        cycle is None
        or not cycle.iterations
        or cycle.judge is not None
        or user.takes_more
        or not request.settings.keepalive
    ):
        return None
    source = cycle.source
    if isinstance(source, Scenario) and source.trace_ids is not None and source.base is not None:
        user.trace_cycle(source.trace_ids, source.base)
        return cycle
    return cycle if getattr(source, "constant", None) is request else None


def began_ns(exchange: Exchange, user: User, done_ns: int) -> int:
    """When libcurl began with a request of a batch, by its own clock: they go out one after the other."""
    taken_us: int = user.getinfo(_TOTAL_US)
    return max(exchange.issued_ns, done_ns - taken_us * 1000)


def record_plain(exchange: Exchange, user: User, cycle: Cycle, done_ns: int) -> bool:
    """Whether an answer on a kept connection is a plain success, which is recorded then, and the user goes on.

    Its handle has just been taken out of its CurlMulti, and is to be put back.
    """
    getinfo = user.getinfo
    status = getinfo(_RESPONSE_CODE)
    if (
        user.keeps
        or exchange.ends
        or exchange.iteration >= cycle.iterations
        or done_ns >= cycle.end_ns
        or not cycle.accepted[status]
    ):
        return False
    body_bytes = getinfo(_BODY_SIZE)
    if not body_bytes or (cycle.take is not None and not cycle.take()):
        return False  # of an empty answer its head may have been cut
    if not user.rest:
        user.rest = plain_rest(
            user=exchange.user, case=exchange.case, step=exchange.step, sent_bytes=user.head_size or 0
        )
    due_ns = exchange.due_ns
    issued_ns = done_ns - getinfo(_TOTAL_US) * 1000
    recorder = cycle.recorder
    offset, sequence = recorder.offset, recorder.sequence
    pack_plain_row(
        recorder.row_bytes,
        offset,
        due_ns,
        issued_ns if issued_ns > due_ns else due_ns,
        done_ns,
        exchange.delay,
        body_bytes + getinfo(_HEAD_SIZE),
        getinfo(_FIRST_BYTE_US),
        status,
        user.rest,
        sequence,
    )
    recorder.offset = offset = offset + ROW_BYTES
    recorder.sequence = sequence = (sequence + 1) & SEQUENCE_MASK
    if offset == recorder.end:
        recorder.go_on(offset, sequence)
    user.address.requests += 1
    exchange.iteration += 1
    exchange.due_ns = done_ns
    if user.traces is not None:
        user.trace_next(done_ns)
    return True
