"""One row a request, and the ring in shared memory through which rows go from a worker to the supervisor.

A ring is made of blocks of 4,096 rows. Its owner is said by the block's state: FREE belongs to nobody until
the worker takes it, WRITING and FOLDING to the worker, FULL to the supervisor. Only the worker marks FULL and only the
supervisor marks FREE, so no lock is needed. A block may be handed over part full (a tenth of a second after
its first row), so that progress is seen at low rates too.

A row ends with its sequence number and a block says with which number it begins: in the block that a dead
worker was writing, the rows before the first gap are whole, whatever stood there from an earlier round.

The memory is an anonymous mapping made before the fork: it has no name, and nothing of it outlives the run.
Nothing here waits: with no FREE block the worker folds its own block (`on_stall`) and goes on.
"""

import io
import mmap
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

BLOCK_ROWS = 4096
# 128 blocks hold what a worker writes in six seconds at 80,000 requests/s; pages never written cost nothing.
BLOCKS = 128

FREE, WRITING, FULL, FOLDING = range(4)
_STATE, _BASE_SEQUENCE, _COUNT = 0, 1, 2
_HEADER_WORDS = 8  # a cache line each, so that the two sides do not slow each other down

CONNECTED = 1  # the request had to open a connection
RESENT = 2  # libcurl sent it again, because the kept-alive connection was dead
INTERRUPTED = 4  # cut at the end of the run; in no total
RETRIED = 8  # tried again by us, after a backoff
WARMUP = 16  # due before its test was measured; known at the end, so it is set in samples.npy alone

DELAY_DISCARDED = 0xFFFF_FFFF  # in the place of a delay that cannot be: the clock was set meanwhile

SAMPLE = np.dtype(
    [
        # What differs from one plain request to the next; see PlainRow.
        ("due_ns", "<i8"),
        ("issued_ns", "<i8"),
        ("done_ns", "<i8"),
        # How long the answer lay in the kernel before it was read, and for how many answers of which this was one that
        # was looked at that stands: 0 where it was not. See `packed_delay`.
        ("delay_us", "<u4"),
        ("delay_weight", "<u4"),
        ("received_bytes", "<i8"),
        ("ttfb_us", "<u4"),
        ("status", "<u2"),
        # What is the same for all plain requests of a user.
        ("step", "<u2"),
        ("sent_bytes", "<i8"),
        ("failed_checks", "<u8"),  # a bit for each expectation that the answer broke, CHECKS at most
        ("dns_us", "<u4"),
        ("connect_us", "<u4"),
        ("tls_us", "<u4"),
        ("user", "<u4"),
        ("earlier_us", "<u4"),  # from the first attempt's start to the last one's: `issued` is the last one's
        ("case", "<u2"),
        ("attempts", "<u2"),
        ("error", "u1"),
        ("flags", "u1"),
        ("connections", "<u2"),  # opened for this request, by all its attempts
        ("sequence", "<u4"),
    ]
)
_ROW = struct.Struct("<qqqqqIHHqQIIIIIHHBBHI")
ROW_BYTES = _ROW.size
assert SAMPLE.itemsize == ROW_BYTES
SEQUENCE_MASK = 0xFFFF_FFFF
# A row of a request on a kept connection that succeeded at the first attempt: its rest comes as one piece of bytes,
# which takes half the time of naming twenty values.
_REST = struct.Struct("<HqQIIIIIHHBBH")
_PLAIN_ROW = struct.Struct(f"<qqqqqIH{_REST.size}sI")
assert _PLAIN_ROW.size == ROW_BYTES
pack_plain_row = _PLAIN_ROW.pack_into
"""`pack_plain_row(buffer, offset, due_ns, issued_ns, done_ns, delay, received_bytes, ttfb_us, status, rest, sequence)`,
`delay` being of `packed_delay`, `rest` of `plain_rest`."""
CHECKS = 64  # of more expectations than that, the last bit stands for all further ones

Rows = NDArray[np.void]


def packed_delay(delay_us: int, weight: int) -> int:
    """Both columns of a delay as the one value that a row is given; 0 stands for an answer that was not looked at."""
    return weight << 32 | min(delay_us, DELAY_DISCARDED)


def plain_rest(*, user: int, case: int, step: int, sent_bytes: int) -> bytes:
    """The columns that are the same for all plain requests of a user, as `pack_plain_row` takes them."""
    return _REST.pack(step, sent_bytes, 0, 0, 0, 0, user, 0, case, 1, 0, 0, 0)


class Sample(Protocol):
    """What the writer reads of a finished request; phases in whole microseconds, instants of one clock."""

    due_ns: int
    issued_ns: int
    done_ns: int
    delay: int
    received_bytes: int
    sent_bytes: int
    failed_checks: int
    dns_us: int
    connect_us: int
    tls_us: int
    ttfb_us: int
    user: int
    case: int
    step: int
    status: int
    attempts: int
    error: int
    flags: int
    connections: int
    earlier_us: int


class SampleRing:
    """The memory of one worker's ring: `rows[block, row]` of dtype SAMPLE and a header of int64 a block."""

    def __init__(self, blocks: int = BLOCKS) -> None:
        header_bytes = blocks * _HEADER_WORDS * 8
        self.memory = mmap.mmap(-1, header_bytes + blocks * BLOCK_ROWS * ROW_BYTES)
        self.blocks = blocks
        view = memoryview(self.memory)
        self.header_words = view[:header_bytes].cast("q")
        self.row_bytes = view[header_bytes:]
        self.headers: NDArray[np.int64] = np.frombuffer(self.header_words, np.int64).reshape(blocks, -1)
        self.rows: Rows = np.frombuffer(self.row_bytes, SAMPLE).reshape(blocks, BLOCK_ROWS)


class SampleWriter:
    """The worker's end. `on_stall(rows)` takes a block's rows when the supervisor has left none free.

    Whoever writes rows itself (`pack_plain_row` into `row_bytes`) takes its `place`, calls `go_on` when the offset has
    come to the end, and gives `offset` and `sequence` back before anything else of this object is called.
    """

    def __init__(self, ring: SampleRing, on_stall: Callable[[Rows], None]) -> None:
        self._ring = ring
        self._on_stall = on_stall
        self._headers = ring.header_words
        self.row_bytes = ring.row_bytes
        self.sequence = 1
        self._unpublished: int | None = None
        # The block being written, and where in its memory: bytes from the start of all blocks.
        self._block, self._start, self.offset, self.end = 0, 0, 0, 0
        self._take(0)

    def write(self, samples: Iterable[Sample]) -> None:
        """Append one row for each sample."""
        pack, view = _ROW.pack_into, self.row_bytes
        offset, end, sequence = self.offset, self.end, self.sequence
        for s in samples:
            try:
                pack(
                    view, offset, s.due_ns, s.issued_ns, s.done_ns, s.delay, s.received_bytes, s.ttfb_us,
                    s.status, s.step, s.sent_bytes, s.failed_checks, s.dns_us, s.connect_us, s.tls_us,
                    s.user, s.earlier_us, s.case, s.attempts, s.error, s.flags, s.connections, sequence,
                )  # fmt: skip
            except struct.error:
                _clamp(s)
                self.offset, self.sequence = offset, sequence
                self.write([s])
                offset, end, sequence = self.offset, self.end, self.sequence
                continue
            offset += ROW_BYTES
            sequence = (sequence + 1) & SEQUENCE_MASK
            if offset == end:
                self.offset, self.sequence = offset, sequence
                self._next_block()
                offset, end = self.offset, self.end
        self.offset, self.sequence = offset, sequence

    def hand_over(self) -> None:
        """Give the supervisor what was written so far, if there is a free block to go on with."""
        self._publish()
        if self.offset > self._start:
            free = self._find_free()
            if free is not None:
                self._unpublished = self._close()
                self._take(free)

    def finish(self) -> None:
        """Hand over everything; the ring is then empty on this side, and can be written again."""
        self.hand_over()
        self._publish()
        if self.offset > self._start:
            self._fold_block()

    def touch(self) -> None:
        """Have the kernel give the pages of the block that is written next, before the load starts."""
        view = self.row_bytes
        for at in range(self.offset, self.end, mmap.PAGESIZE):
            view[at] = view[at]

    @property
    def place(self) -> tuple[int, int, int]:
        """Offset and sequence number of the next row, and the offset at which its block ends."""
        return self.offset, self.sequence, self.end

    def go_on(self, offset: int, sequence: int) -> tuple[int, int]:
        """The block is full up to here; returns where the next row goes, and where that block ends."""
        self.offset, self.sequence = offset, sequence
        self._next_block()
        return self.offset, self.end

    def _next_block(self) -> None:
        self._publish()
        free = self._find_free()
        if free is None:
            self._fold_block()
        else:
            self._unpublished = self._close()
            self._take(free)

    def _fold_block(self) -> None:
        # FOLDING until it is taken anew: of a worker that is killed meanwhile nobody could say whether these rows
        # have been counted, so salvage leaves them and says so.
        count = (self.offset - self._start) // ROW_BYTES
        self._headers[self._block * _HEADER_WORDS + _STATE] = FOLDING
        self._on_stall(self._ring.rows[self._block, :count])
        self._take(self._block)

    def _publish(self) -> None:
        # A block is marked FULL one pass after its last row: on machines that reorder stores, the system calls
        # of a pass lie between the row and the mark.
        if self._unpublished is not None:
            self._headers[self._unpublished * _HEADER_WORDS + _STATE] = FULL
            self._unpublished = None

    def _close(self) -> int:
        self._headers[self._block * _HEADER_WORDS + _COUNT] = (self.offset - self._start) // ROW_BYTES
        return self._block

    def _find_free(self) -> int | None:
        # The lowest first, so that a ring whose reader keeps up touches few pages.
        words = self._headers
        for block in range(self._ring.blocks):
            if words[block * _HEADER_WORDS] == FREE:
                return block
        return None

    def _take(self, block: int) -> None:
        at = block * _HEADER_WORDS
        self._headers[at + _BASE_SEQUENCE] = self.sequence
        self._headers[at + _STATE] = WRITING
        self._block = block
        self._start = self.offset = block * BLOCK_ROWS * ROW_BYTES
        self.end = self._start + BLOCK_ROWS * ROW_BYTES


def _clamp(sample: Sample) -> None:
    """Bring what does not fit its column to the column's end: a phase of more than 71 minutes, 65,536 attempts."""
    for name in ("dns_us", "connect_us", "tls_us", "ttfb_us", "earlier_us"):
        setattr(sample, name, min(max(getattr(sample, name), 0), 0xFFFF_FFFF))
    sample.status = min(max(sample.status, 0), 0xFFFF)
    sample.attempts = min(sample.attempts, 0xFFFF)
    sample.connections = min(sample.connections, 0xFFFF)


class SampleReader:
    """The supervisor's end."""

    def __init__(self, ring: SampleRing) -> None:
        self._ring = ring

    def drain(self, consume: Callable[[Rows], None]) -> int:
        """Give every FULL block's rows to `consume`, then free it; returns how many rows that were."""
        total = 0
        headers = self._ring.headers
        for block in np.flatnonzero(headers[:, _STATE] == FULL):
            count = int(headers[block, _COUNT])
            consume(self._ring.rows[block, :count])
            headers[block, _STATE] = FREE
            total += count
        return total

    def died_while_folding(self) -> bool:
        """Whether a dead worker was counting a block by itself: those rows may be counted or not."""
        return bool((self._ring.headers[:, _STATE] == FOLDING).any())

    def salvage(self, consume: Callable[[Rows], None]) -> int:
        """Read what a dead worker left: FULL blocks, and of those it was writing the rows before the first gap."""
        total = self.drain(consume)
        headers = self._ring.headers
        for block in np.flatnonzero(headers[:, _STATE] == WRITING):
            rows = self._ring.rows[block]
            expected = (int(headers[block, _BASE_SEQUENCE]) + np.arange(BLOCK_ROWS)) & SEQUENCE_MASK
            gaps = np.flatnonzero(rows["sequence"] != expected)
            count = int(gaps[0]) if gaps.size else BLOCK_ROWS
            consume(rows[:count])
            headers[block, _STATE] = FREE
            total += count
        return total


class SampleFile:
    """`--samples`: every row that the supervisor or a stalled worker folds is first appended to a file.

    Each process writes a file of its own, as raw rows; `join_sample_files` makes the one `samples.npy` of them.
    A disk that refuses ends the file (`error` says why) and not the run.
    """

    def __init__(self, path: str, limit_bytes: int) -> None:
        self.error: str | None = None
        self.dropped_rows = 0  # for the limit's sake
        self._left = limit_bytes
        self._bytes = 0
        self._file: io.FileIO | None = None
        try:
            # Unbuffered: a worker that dies has counted its rows; they stay in the file as well.
            self._file = io.FileIO(path, "wb")
        except OSError as error:
            self.error = _reason(error)

    def write(self, rows: Rows) -> None:
        whole = min(len(rows), self._left // ROW_BYTES)
        self.dropped_rows += len(rows) - whole
        if not whole or self._file is None:
            return
        self._left -= whole * ROW_BYTES
        try:
            _write_all(self._file, np.ascontiguousarray(rows[:whole]).tobytes())
            self._bytes += whole * ROW_BYTES
        except OSError as error:
            self.error = _reason(error)
            with suppress(OSError):
                self._file.truncate(self._bytes)
            self.close()

    def close(self) -> None:
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:
                self.error = self.error or _reason(error)
            self._file = None


@dataclass(frozen=True, slots=True)
class JoinedSamples:
    """Rows in the joined file, rows that its limit left out, and why there are fewer than there could be."""

    rows: int
    left_out_rows: int
    error: str | None = None


def join_sample_files(
    paths: Iterable[str], destination: str, limit_bytes: int, measured_from_ns: Sequence[int] = ()
) -> JoinedSamples:
    """Write one `.npy` file of dtype SAMPLE, in the order of the files.

    `measured_from_ns`: for each case the instant from which on it counts; rows due before it become WARMUP.

    Copied piece by piece, so that gigabytes of samples are never in memory at once, and by plain writes: a full
    disk under a mapping is a signal that kills. What could be written of it is a whole file then, and `error`
    says why the rest is missing. A row that its writer died in, at the end of a file, is left out.
    """
    lengths = {path: os.path.getsize(path) // ROW_BYTES for path in paths}
    total = sum(lengths.values())
    kept = min(total, limit_bytes // ROW_BYTES)
    from_ns = np.array(measured_from_ns, np.int64)
    written, error = 0, None
    try:
        with io.FileIO(destination, "wb") as file:
            _write_all(file, _npy_header(kept))
            try:
                for piece in _pieces(lengths, kept):
                    _write_all(file, _with_warmup(piece, from_ns))
                    written += len(piece) // ROW_BYTES
            except OSError as failure:
                error = _reason(failure)
                # The header is padded to one length for any number of rows.
                file.truncate(len(_npy_header(written)) + written * ROW_BYTES)
                file.seek(0)
                _write_all(file, _npy_header(written))
    except OSError as failure:
        error, written = _reason(failure), 0
        with suppress(OSError):
            os.unlink(destination)
    return JoinedSamples(written, total - kept, error)


def _pieces(lengths: Mapping[str, int], rows: int) -> Iterator[bytes]:
    """The first `rows` whole rows of the files, some thousands at a time."""
    for path, length in lengths.items():
        left = min(length, rows)
        rows -= left
        with open(path, "rb") as part:
            while left:
                piece = part.read(min(left, BLOCK_ROWS) * ROW_BYTES)
                yield piece
                left -= len(piece) // ROW_BYTES


def _with_warmup(piece: bytes, from_ns: NDArray[np.int64]) -> bytes:
    """The rows with the flag on those that were due before their case's instant."""
    if not from_ns.size:
        return piece
    rows = np.frombuffer(bytearray(piece), SAMPLE)
    rows["flags"] |= np.where(rows["due_ns"] < from_ns[rows["case"]], WARMUP, 0).astype(np.uint8)
    return rows.tobytes()


def _npy_header(rows: int) -> bytes:
    buffer = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(SAMPLE)
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": (rows,)})
    return buffer.getvalue()


def _write_all(file: io.FileIO, content: bytes) -> None:
    """A raw file may take a part at a time: a disk that fills up takes what fits, and refuses the next."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
