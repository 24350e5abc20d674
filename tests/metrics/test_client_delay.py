"""Client delay: each answer that was looked at counts for as many as its weight says."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.rows import START_NS, random_rows, rows_of
from perfcore.metrics.client_delay import ClientDelay
from perfcore.metrics.metrics_collector import TestFigures
from perfcore.metrics.outcomes import CODE
from perfcore.metrics.samples import DELAY_DISCARDED, packed_delay
from perfcore.metrics.test_document import client_delay_document, timing_document

HALF, MOST = Fraction(1, 2), Fraction(99, 100)


def counted(rows):
    delay = ClientDelay()
    delay.add(rows, rows["done_ns"] - rows["due_ns"])
    return delay


def told(rows):
    """Reported and corrected percentiles of a test, milliseconds."""
    figures = TestFigures()
    figures.begin(START_NS, None)
    if rows.size:
        figures.fold(rows)
    reported = timing_document(figures.distributions["response"])["percentiles"]
    return reported, client_delay_document(figures)["corrected"]


def nearest_ns(values, quantile):
    return float(np.quantile(values, float(quantile), method="inverted_cdf"))


def test_a_weighted_answer_counts_as_often():
    rows = rows_of(
        3, service_ns=[10_000_000, 20_000_000, 30_000_000], delay_us=[1000, 4000, 0], delay_weight=[4, 1, 0]
    )
    delay = counted(rows)
    assert (delay.looked_at, delay.discarded, delay.max_ns) == (2, 0, 4_000_000)
    assert delay.quantile_ns(HALF) == pytest.approx(1_000_000, rel=1e-3)
    assert delay.quantile_ns(Fraction(9, 10)) == pytest.approx(4_000_000, rel=1e-3)
    # Four of 10 ms and one of 20 ms: the ratios of their percentiles without and with delay.
    assert delay.corrected_ns(HALF, 1.0) == pytest.approx(9 / 10, rel=1e-3)
    assert delay.corrected_ns(Fraction(9, 10), 1.0) == pytest.approx(16 / 20, rel=1e-3)


def test_nothing_looked_at_is_nothing_known():
    figures = TestFigures()
    figures.fold(rows_of(5))
    assert client_delay_document(figures) == {
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
    for quantile in (HALF, Fraction(9, 10), MOST):
        delay_ns = whole.quantile_ns(quantile)
        assert delay_ns == pytest.approx(nearest_ns(delays_ns, quantile), rel=1e-3, abs=1000)
        with_delay, without = nearest_ns(response_ns, quantile), nearest_ns(response_ns - delays_ns, quantile)
        assert whole.corrected_ns(quantile, with_delay) == pytest.approx(without, rel=1.1e-3, abs=1000)


@given(st.integers(0, 2**32), st.integers(0, 300), st.sampled_from([1.0, 0.9, 0.3]))
@settings(max_examples=80, deadline=None)
def test_whatever_was_looked_at_corrected_is_no_more_than_reported_and_no_less_than_nothing(seed, count, ok):
    reported, corrected = told(random_rows(seed, count, ok=ok, interrupted=0))
    for name, value in corrected.items():
        assert value is None or 0 <= value <= reported[name]


def test_of_slow_answers_that_were_looked_at_more_than_fast_ones_only_their_delay_is_taken_away():
    # 990 of 2 ms and ten of 50 ms; of those looked at, half are slow. All waited a tenth of their time.
    rows = rows_of(1000, service_ns=2_000_000, delay_us=200)
    rows["done_ns"][::100] += 48_000_000
    rows["delay_us"][::100] = 5000
    rows["delay_weight"][::50] = 1
    reported, corrected = told(rows)
    assert (reported["p50"], reported["p99"]) == pytest.approx((2.0, 2.0), rel=1e-3)
    assert (corrected["p50"], corrected["p99"]) == pytest.approx((1.8, 1.8), rel=2e-3)


def test_requests_that_were_given_up_count_though_no_answer_of_theirs_could_be_looked_at():
    # A target that is killed in mid-run: 90 answers of 10 ms of which 2 ms waited, then ten timeouts after 1 s.
    rows = rows_of(100, service_ns=10_000_000, delay_us=2000, delay_weight=1)
    rows["done_ns"][90:] += 990_000_000
    rows["error"][90:] = CODE["timeout"]
    rows["status"][90:] = rows["delay_us"][90:] = rows["delay_weight"][90:] = 0
    reported, corrected = told(rows)
    assert corrected == {"p50": pytest.approx(8.0, rel=1e-3), "p99": reported["p99"]}
    assert reported["p99"] == 1000.0


def test_where_a_percentile_is_of_a_request_that_was_given_up_nothing_is_taken_away():
    # The one timeout is the p99 of 50; by weight the answers are more, and their own p99 is an answer's.
    rows = rows_of(50, service_ns=10_000_000, delay_us=5000, delay_weight=4)
    rows["done_ns"][-1] += 990_000_000
    rows["error"][-1] = CODE["timeout"]
    rows["status"][-1] = rows["delay_us"][-1] = rows["delay_weight"][-1] = 0
    reported, corrected = told(rows)
    assert corrected["p99"] == reported["p99"] == 1000.0


def test_where_nothing_but_timeouts_is_known_nothing_is_corrected():
    rows = rows_of(5, error=CODE["timeout"], status=0)
    assert told(rows)[1] == {"p50": None, "p99": None}


def test_a_sample_that_is_off_by_chance_is_corrected_by_less_than_it_is_off():
    """Of 20,000 answers every hundredth is looked at, 200 times over: within a few percent of the true ones."""
    draw = np.random.default_rng(5)
    count = 20_000
    service_ns = (draw.lognormal(0, 1, count) * 2e6).astype(np.int64)
    delay_ns = np.minimum(draw.exponential(3e5, count).astype(np.int64), service_ns // 2) // 1000 * 1000
    reported = nearest_ns(service_ns, MOST)
    true = nearest_ns(service_ns - delay_ns, MOST)
    off = []
    for _ in range(200):
        rows = rows_of(count, service_ns=service_ns, delay_us=delay_ns // 1000)
        chosen = draw.random(count) < 0.01
        rows["delay_weight"] = np.where(chosen, 100, 0)
        alone = nearest_ns((service_ns - delay_ns)[chosen], MOST)
        off.append((counted(rows).corrected_ns(MOST, reported) / true - 1, alone / true - 1))
    estimated, sample_alone = np.array(off).T
    assert abs(estimated.mean()) < 0.01
    assert np.sqrt((estimated**2).mean()) < 0.2 * np.sqrt((sample_alone**2).mean())


def test_a_delay_that_no_column_holds_is_no_delay():
    assert packed_delay(2**40, 1) == 1 << 32 | DELAY_DISCARDED
