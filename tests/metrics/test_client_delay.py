"""Client delay: each answer that was looked at counts for as many as its weight says."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.rows import random_rows, rows_of
from perfcore.metrics.client_delay import ClientDelay
from perfcore.metrics.samples import DELAY_DISCARDED, packed_delay
from perfcore.metrics.test_document import client_delay_document

HALF = Fraction(1, 2)


def counted(rows):
    delay = ClientDelay()
    delay.add(rows, rows["done_ns"] - rows["due_ns"])
    return delay


def test_a_weighted_answer_counts_as_often():
    rows = rows_of(
        3, service_ns=[10_000_000, 20_000_000, 30_000_000], delay_us=[1000, 4000, 0], delay_weight=[4, 1, 0]
    )
    delay = counted(rows)
    assert (delay.looked_at, delay.discarded, delay.max_ns) == (2, 0, 4_000_000)
    assert delay.quantile_ns(HALF) == pytest.approx(1_000_000, rel=1e-3)
    assert delay.quantile_ns(Fraction(9, 10)) == pytest.approx(4_000_000, rel=1e-3)
    assert delay.corrected_ns(HALF) == pytest.approx(9_000_000, rel=1e-3)
    assert delay.corrected_ns(Fraction(9, 10)) == pytest.approx(16_000_000, rel=1e-3)


def test_nothing_looked_at_is_nothing_known():
    document = client_delay_document(counted(rows_of(5)))
    assert document == {
        "p50_ms": None,
        "p99_ms": None,
        "max_ms": None,
        "corrected": {"p50": None, "p99": None},
        "looked_at": 0,
        "discarded": 0,
    }


def test_what_cannot_be_is_counted_apart():
    delay = counted(rows_of(4, delay_us=[DELAY_DISCARDED, 5, 5, DELAY_DISCARDED], delay_weight=[1, 1, 1, 7]))
    assert (delay.looked_at, delay.discarded, delay.max_ns) == (2, 2, 5000)
    assert counted(rows_of(1, delay_us=DELAY_DISCARDED, delay_weight=1)).quantile_ns(HALF) is None


def test_less_than_a_microsecond_is_nothing():
    assert counted(rows_of(2, delay_us=0, delay_weight=1)).quantile_ns(HALF) == 0.0


@given(st.integers(0, 2**32), st.integers(1, 300), st.data())
@settings(max_examples=60, deadline=None)
def test_quantiles_are_those_of_the_answers_repeated_by_weight_however_they_were_cut(seed, count, data):
    rows = random_rows(seed, count, ok=1.0, interrupted=0)
    cut = data.draw(st.integers(0, count))
    parts = counted(rows[:cut])
    parts.merge(counted(rows[cut:]))
    whole = counted(rows)
    assert (parts.words == whole.words).all()
    known = rows[(rows["delay_weight"] > 0) & (rows["delay_us"] != DELAY_DISCARDED)]
    repeated = np.repeat(known, known["delay_weight"])
    if not repeated.size:
        assert whole.quantile_ns(HALF) is None
        return
    delays_ns = repeated["delay_us"].astype(np.int64) * 1000
    response_ns = repeated["done_ns"] - repeated["due_ns"]
    for percent in (50, 90, 99):
        told = whole.quantile_ns(Fraction(percent, 100)), whole.corrected_ns(Fraction(percent, 100))
        for value, values in zip(told, (delays_ns, response_ns - delays_ns), strict=True):
            exact = np.quantile(values, percent / 100, method="inverted_cdf")
            assert value == pytest.approx(exact, rel=1e-3, abs=1000)


def test_a_delay_that_no_column_holds_is_no_delay():
    assert packed_delay(2**40, 1) == 1 << 32 | DELAY_DISCARDED
