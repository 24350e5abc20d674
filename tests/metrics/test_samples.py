"""The ring: every row exactly once, whoever stalls or dies."""

import os
import random
import resource
import signal
import time
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfcore.metrics import samples
from perfcore.metrics.samples import (
    BLOCK_ROWS,
    CONNECTED,
    ROW_BYTES,
    SAMPLE,
    WARMUP,
    SampleFile,
    SampleReader,
    SampleRing,
    SampleWriter,
    join_sample_files,
)

from .rows import rows_of, samples_of

SMALL_BLOCK = 8


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(samples, "BLOCK_ROWS", SMALL_BLOCK)


class Ends:
    """Both ends of a ring, and the users of the rows that arrived anywhere."""

    def __init__(self, blocks):
        self.ring = SampleRing(blocks)
        self.arrived = []
        self.stalled_blocks = 0
        self.writer = SampleWriter(self.ring, self._stall)
        self.reader = SampleReader(self.ring)
        self.written = 0

    def _stall(self, rows):
        self.stalled_blocks += 1
        self.take(rows)

    def take(self, rows):
        self.arrived.extend(rows["user"].tolist())

    def write(self, count):
        self.writer.write(samples_of(range(self.written, self.written + count)))
        self.written += count

    def assert_every_row_once(self):
        assert sorted(self.arrived) == list(range(self.written))


def test_a_row_carries_every_field():
    ends = Ends(2)
    kept = []
    (sample,) = samples_of([77])
    ends.writer.write([sample])
    ends.writer.finish()
    assert ends.reader.drain(lambda rows: kept.append(rows.copy())) == 1
    (row,) = kept[0]
    names = [name for name in SAMPLE.names if not name.startswith(("delay", "sequence"))]
    assert {name: int(row[name]) for name in names} == {name: getattr(sample, name) for name in names}
    assert row["sequence"] == 1
    assert (row["delay_us"], row["delay_weight"]) == (19, 3)


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 3 * SMALL_BLOCK)),
        st.tuples(st.sampled_from(["drain", "hand_over", "finish"]), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 4), ACTIONS, st.sampled_from(["finishes", "dies", "dies at once after finishing"]))
def test_every_row_arrives_exactly_once(blocks, actions, end):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "BLOCK_ROWS", SMALL_BLOCK)
        ends = Ends(blocks)
        for action, count in actions:
            if action == "write":
                ends.write(count)
            elif action == "drain":
                before = len(ends.arrived)
                assert ends.reader.drain(ends.take) == len(ends.arrived) - before
            elif action == "hand_over":
                ends.writer.hand_over()
            else:
                ends.writer.finish()
                ends.reader.drain(ends.take)
                ends.assert_every_row_once()
            assert len(set(ends.arrived)) == len(ends.arrived)
        if end != "dies":
            ends.writer.finish()
        if end == "finishes":
            ends.reader.drain(ends.take)
        else:
            ends.reader.salvage(ends.take)
        ends.assert_every_row_once()


def test_a_block_is_marked_one_pass_after_its_last_row(small_blocks):
    ends = Ends(3)
    ends.write(5)
    ends.writer.hand_over()
    assert ends.reader.drain(ends.take) == 0
    ends.writer.hand_over()
    assert ends.reader.drain(ends.take) == 5


def test_a_stalled_supervisor_costs_no_row_and_no_waiting(small_blocks):
    ends = Ends(2)
    ends.write(10 * SMALL_BLOCK + 3)
    # One block waits to be marked or is marked, the other is folded again and again.
    assert ends.stalled_blocks == 9
    assert sorted(ends.arrived) == list(range(SMALL_BLOCK, 10 * SMALL_BLOCK))
    ends.writer.finish()
    ends.reader.drain(ends.take)
    ends.assert_every_row_once()


def test_with_one_block_the_worker_counts_everything_itself(small_blocks):
    ends = Ends(1)
    ends.write(3 * SMALL_BLOCK + 1)
    assert ends.reader.drain(ends.take) == 0
    ends.writer.finish()
    ends.assert_every_row_once()


def test_a_reader_that_keeps_up_makes_the_ring_touch_few_blocks(small_blocks):
    ends = Ends(16)
    for _ in range(50):
        ends.write(SMALL_BLOCK)
        ends.reader.drain(ends.take)
    assert np.count_nonzero(ends.ring.headers[:, 1]) <= 3


def test_blocks_of_full_size_pass_whole():
    ends = Ends(3)
    for count in (1, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 2):
        ends.write(count)
        ends.reader.drain(ends.take)
    ends.writer.finish()
    ends.reader.drain(ends.take)
    ends.assert_every_row_once()


def test_an_idle_writer_hands_over_nothing():
    ends = Ends(2)
    for _ in range(3):
        ends.writer.hand_over()
    ends.writer.finish()
    assert ends.reader.drain(ends.take) == 0
    assert ends.reader.salvage(ends.take) == 0


@pytest.mark.parametrize("written", range(SMALL_BLOCK))
@pytest.mark.parametrize("torn_bytes", [None, 0, 1, 40, ROW_BYTES - 5, ROW_BYTES - 4, ROW_BYTES - 1])
def test_of_a_block_with_stale_rows_the_gapless_beginning_is_salvaged(small_blocks, written, torn_bytes):
    ends = Ends(2)
    for _ in range(6):  # rounds that leave old rows in both blocks
        ends.write(SMALL_BLOCK)
        ends.writer.finish()
        ends.reader.drain(ends.take)
    ends.write(written)
    if torn_bytes is not None:
        tear_next_row(ends, written, torn_bytes)
    assert ends.reader.salvage(ends.take) == written
    ends.assert_every_row_once()
    assert ends.reader.salvage(ends.take) == 0


def test_rows_beyond_the_first_gap_are_not_believed(small_blocks):
    ends = Ends(1)
    ends.write(6)
    ends.ring.rows["sequence"][0, 3] = 0
    assert ends.reader.salvage(ends.take) == 3
    assert ends.arrived == [0, 1, 2]


def tear_next_row(ends, at, torn_bytes):
    """What a worker leaves that dies `torn_bytes` into a row: the packing clears the row before it fills it."""
    (block,) = np.flatnonzero(ends.ring.headers[:, 0] == samples.WRITING)
    start = (int(block) * SMALL_BLOCK + at) * ROW_BYTES
    whole = bytearray(ROW_BYTES)
    samples._ROW.pack_into(whole, 0, *[1] * (len(samples.SAMPLE) - 2), ends.written + 1)
    torn = bytes(whole[:torn_bytes]).ljust(ROW_BYTES, b"\0")
    # The low byte of a little sequence number is the whole of it; died before it, or it is a whole row.
    if torn_bytes > ROW_BYTES - 4:
        torn = torn[: ROW_BYTES - 4] + b"\0\0\0\0"
    ends.ring.row_bytes[start : start + ROW_BYTES] = torn


def test_a_worker_that_dies_between_closing_and_marking_a_block_loses_nothing(small_blocks):
    ends = Ends(3)
    ends.write(SMALL_BLOCK + 3)  # the first block is closed and not marked yet
    assert ends.reader.drain(ends.take) == 0
    assert ends.reader.salvage(ends.take) == SMALL_BLOCK + 3
    ends.assert_every_row_once()


def test_sequence_numbers_wrap(small_blocks):
    ends = Ends(2)
    ends.writer.sequence = 2**32 - 3
    ends.writer._take(0)
    ends.write(6)
    assert ends.reader.salvage(ends.take) == 6
    ends.assert_every_row_once()


@pytest.mark.parametrize("seed", range(4))
def test_a_worker_killed_at_any_moment_leaves_a_gapless_beginning(seed):
    rng = random.Random(seed)
    ring = SampleRing()
    batch_sizes = [rng.choice([1, 7, 64]) for _ in range(50)]
    pid = os.fork()
    if pid == 0:
        try:
            write_without_end(ring, batch_sizes)
        finally:
            os._exit(1)
    arrived = []
    reader = SampleReader(ring)
    consume = lambda rows: arrived.extend(rows["user"].tolist())  # noqa: E731
    enough, deadline = rng.randrange(1, 40_000), time.monotonic() + 20
    while len(arrived) < enough and time.monotonic() < deadline:
        reader.drain(consume)
    os.kill(pid, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    visible = len(arrived)
    reader.salvage(consume)
    assert visible >= enough
    assert sorted(arrived) == list(range(len(arrived)))


def write_without_end(ring, batch_sizes):
    def stall(rows):
        os._exit(3)  # the reader keeps up in this test; else its rows would be gone with the process

    writer = SampleWriter(ring, stall)
    at = written = 0
    while True:
        count = batch_sizes[at % len(batch_sizes)]
        writer.write(samples_of(range(written, written + count)))
        written += count
        at += 1
        if at % 40 == 0:
            writer.hand_over()


# -- sample files ---------------------------------------------------------------------------------------------


def test_sample_files_join_to_one_array_in_order(tmp_path):
    parts = [rows_of(10, user=1), rows_of(5, user=2)]
    paths = [str(tmp_path / name) for name in ("a", "b", "empty")]
    for path, rows in zip(paths, [*parts, rows_of(0)], strict=True):
        file = SampleFile(path, 10**6)
        file.write(rows[: len(rows) // 2])
        file.write(rows[len(rows) // 2 :])
        file.close()
        assert file.dropped_rows == 0
    destination = tmp_path / "samples.npy"
    assert join_sample_files(paths, str(destination), 10**6).left_out_rows == 0
    joined = np.load(destination, mmap_mode="r")
    assert joined.dtype == SAMPLE
    assert np.array_equal(joined, np.concatenate(parts))


def test_rows_due_before_their_test_was_measured_are_flagged_and_nothing_else_changes(tmp_path):
    # More rows than one piece; the second test has no warm-up, and the third never began.
    rows = rows_of(6000, flags=CONNECTED)
    rows["case"] = np.arange(6000) % 2
    (tmp_path / "a").write_bytes(rows.tobytes())
    from_ns = int(rows["due_ns"][5000])
    destination = tmp_path / "samples.npy"
    measured_from_ns = [from_ns, int(rows["due_ns"][0]), 0]
    joined = join_sample_files([str(tmp_path / "a")], str(destination), 10**9, measured_from_ns)
    assert joined.rows == 6000
    expected = rows.copy()
    expected["flags"][0:5000:2] = CONNECTED | WARMUP
    assert np.array_equal(np.load(destination), expected)


def test_rows_beyond_the_limit_are_counted_and_left_out(tmp_path):
    file = SampleFile(str(tmp_path / "a"), 7 * ROW_BYTES + 3)
    file.write(rows_of(5))
    file.write(rows_of(5))
    file.close()
    assert file.dropped_rows == 3
    destination = tmp_path / "samples.npy"
    assert join_sample_files([str(tmp_path / "a")], str(destination), 4 * ROW_BYTES).left_out_rows == 3
    assert len(np.load(destination)) == 4


@pytest.mark.parametrize("limit_bytes", [0, 10**6])
def test_nothing_to_join_is_an_empty_array(tmp_path, limit_bytes):
    (tmp_path / "a").write_bytes(b"")
    destination = tmp_path / "samples.npy"
    assert join_sample_files([str(tmp_path / "a")], str(destination), limit_bytes).left_out_rows == 0
    joined = np.load(destination)
    assert joined.dtype == SAMPLE
    assert joined.size == 0


def test_a_file_whose_worker_died_in_mid_row_joins_up_to_that_row(tmp_path):
    rows = rows_of(3, user=9)
    (tmp_path / "a").write_bytes(rows.tobytes() + b"x" * 33)
    (tmp_path / "b").write_bytes(b"x" * 33)
    destination = tmp_path / "samples.npy"
    assert (
        join_sample_files([str(tmp_path / name) for name in "ab"], str(destination), 10**6).left_out_rows == 0
    )
    assert np.array_equal(np.load(destination), rows)


def test_rows_are_in_the_file_before_it_is_closed(tmp_path):
    file = SampleFile(str(tmp_path / "a"), 10**6)
    file.write(rows_of(3)[::2])
    assert (tmp_path / "a").stat().st_size == 2 * ROW_BYTES
    file.close()


def test_what_does_not_fit_its_column_is_brought_to_the_columns_end():
    ring = samples.SampleRing(2)
    writer = samples.SampleWriter(ring, lambda _rows: None)
    before, row, after = samples_of([4, 5, 6])
    row.ttfb_us, row.attempts, row.dns_us = 2**40, 70_000, -1
    writer.write([before, row, after])
    writer.finish()
    seen = []
    samples.SampleReader(ring).drain(lambda rows: seen.extend(rows.copy()))
    assert [(int(r["ttfb_us"]), int(r["attempts"]), int(r["dns_us"])) for r in seen][1] == (
        2**32 - 1,
        65_535,
        0,
    )
    assert [int(r["sequence"]) for r in seen] == [1, 2, 3]


def test_a_worker_killed_while_it_counts_a_block_is_told_and_its_rows_are_left():
    class Killed(BaseException):
        pass

    def die(_rows):
        raise Killed

    ring = samples.SampleRing(1)
    writer = samples.SampleWriter(ring, die)
    with pytest.raises(Killed):
        writer.write(samples_of([7] * samples.BLOCK_ROWS))
    reader = samples.SampleReader(ring)
    assert reader.died_while_folding()
    assert reader.salvage(lambda _rows: None) == 0


def test_touching_the_next_block_changes_nothing_of_it(small_blocks):
    ends = Ends(2)
    ends.write(3)
    before = bytes(ends.ring.row_bytes)
    ends.writer.touch()
    assert bytes(ends.ring.row_bytes) == before
    ends.write(2)
    ends.writer.finish()
    ends.reader.drain(ends.take)
    ends.assert_every_row_once()


@contextmanager
def files_no_longer_than(limit_bytes):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_refuses_ends_the_file_at_a_whole_row_and_raises_nothing(tmp_path):
    file = SampleFile(str(tmp_path / "a"), 10**9)
    with files_no_longer_than(7 * ROW_BYTES + 3):
        file.write(rows_of(5))
        assert file.error is None
        file.write(rows_of(5))
        assert file.error == "File too large"
    file.write(rows_of(5))  # what fits again would be a gap
    file.close()
    assert file.dropped_rows == 0
    assert (tmp_path / "a").stat().st_size == 5 * ROW_BYTES


def test_a_sample_file_that_cannot_be_made_says_so_and_takes_rows(tmp_path):
    file = SampleFile(str(tmp_path / "absent" / "a"), 10**9)
    file.write(rows_of(2))
    file.close()
    assert file.error == "No such file or directory"


@pytest.mark.parametrize("rows_that_fit", [0, 1, 9, 10_000])
def test_what_the_disk_takes_of_the_joined_file_is_a_whole_array(tmp_path, rows_that_fit):
    rows = rows_of(12_000, user=3)
    (tmp_path / "a").write_bytes(rows.tobytes())
    destination = tmp_path / "samples.npy"
    join_sample_files([str(tmp_path / "a")], str(destination), 10**9)
    header = destination.stat().st_size - 12_000 * ROW_BYTES
    with files_no_longer_than(header + rows_that_fit * ROW_BYTES + 50):
        joined = join_sample_files([str(tmp_path / "a")], str(destination), 10**9)
    assert joined.error == "File too large"
    assert joined.left_out_rows == 0
    assert joined.rows == len(np.load(destination)) <= rows_that_fit
    assert np.array_equal(np.load(destination), rows[: joined.rows])


def test_a_joined_file_that_cannot_be_begun_is_told_and_absent(tmp_path):
    (tmp_path / "a").write_bytes(rows_of(3).tobytes())
    with files_no_longer_than(10):
        joined = join_sample_files([str(tmp_path / "a")], str(tmp_path / "samples.npy"), 10**9)
    assert (joined.rows, joined.error) == (0, "File too large")
    assert not (tmp_path / "samples.npy").exists()
