"""What an Expires attribute says, against libcurl itself."""

import itertools
import time

import pycurl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfcore.engine.cookie_date import read_date

# libcurl tells the date of a cookie exactly where it lies ahead, but not more than 400 days.
SOON = time.gmtime(time.time() + 100 * 86_400)
YEAR, MONTH = f"{SOON.tm_year}", time.strftime("%b", SOON)
SOON_PARTS = (YEAR, YEAR, YEAR, YEAR[2:], MONTH, MONTH, MONTH.upper(), "6", "31", f"{YEAR}{SOON.tm_mon:02}05")
OTHER_PARTS = (
    *(
        "Sun",
        "Sunday",
        "Mon",
        "GMT",
        "gmt",
        "EST",
        "MESZ",
        "NZDT",
        "Z",
        "A",
        "N",
        "0",
        "06",
        "32",
        "94",
        "70",
        "71",
    ),
    *(
        "1969",
        "1582",
        "1583",
        "8:49",
        "08:49:37",
        "08:49:60",
        "08:49:61",
        "24:00",
        "8:4:1",
        "12:345",
        "00:00:00",
    ),
    *(
        "+0200",
        "-0730",
        "+1400",
        "+1401",
        f"{YEAR}0006",
        f"{YEAR}1301",
        f"{YEAR}1200",
        "123456789",
        "0000000006",
    ),
    *("99999999", "abcdefghijk", "abcdefghijkl", "\u00e9", f"{YEAR}0230"),
)
date_texts = (
    st.lists(
        st.tuples(
            st.sampled_from(SOON_PARTS + SOON_PARTS + OTHER_PARTS),
            st.sampled_from([" ", " ", " ", "-", ", ", "/", "", "\u00e9"]),
        ),
        min_size=2,
        max_size=8,
    )
    .map(lambda parts: "".join(itertools.chain.from_iterable(parts)).strip())
    .filter(lambda text: 0 < len(text) < 80)
)


def end_by_libcurl(date: str) -> int | None:
    """The end of a cookie with this Expires; None for one without, 0 for one that is over."""
    handle = pycurl.Curl()  # one that has sent nothing takes in no more than 50 cookies
    try:
        handle.setopt(pycurl.COOKIELIST, b"Set-Cookie: a=b; Domain=x.test; Expires=" + date.encode("latin-1"))
        found = handle.getinfo_raw(pycurl.INFO_COOKIELIST)
    finally:
        handle.close()
    return int(found[0].split(b"\t")[4]) or None if found else 0


def assert_read_as_by_libcurl(date: str) -> int | None:
    read, expected = read_date(date), end_by_libcurl(date)
    now = int(time.time())
    far_ahead = now + 399 * 86_400
    if read is None or expected is None or now < read < far_ahead:
        assert read == expected
    elif read <= now:
        assert expected == 0
    else:
        assert expected >= far_ahead
    return read


@settings(max_examples=500, deadline=None)
@given(date_texts)
def test_a_date_is_read_as_by_libcurl(date: str) -> None:
    assert_read_as_by_libcurl(date)


@pytest.mark.parametrize(
    "zone",
    [
        *"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        *(
            "GMT",
            "UT",
            "UTC",
            "WET",
            "BST",
            "WAT",
            "AST",
            "ADT",
            "EST",
            "EDT",
            "CST",
            "CDT",
            "MST",
            "MDT",
            "PST",
        ),
        *(
            "PDT",
            "YST",
            "YDT",
            "HST",
            "HDT",
            "CAT",
            "AHST",
            "NT",
            "IDLW",
            "CET",
            "MET",
            "MEWT",
            "MEST",
            "CEST",
        ),
        *(
            "MESZ",
            "FWT",
            "FST",
            "EET",
            "WAST",
            "WADT",
            "CCT",
            "JST",
            "EAST",
            "EADT",
            "GST",
            "NZT",
            "NZST",
            "NZDT",
        ),
        *("IDLE", "ACST", "IST", "gmt", "Utc"),
    ],
)
def test_a_zone_is_the_one_that_libcurl_knows(zone: str) -> None:
    assert_read_as_by_libcurl(f"6 {MONTH} {YEAR} 08:49:37 {zone}")


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "19941106 08:49:37",
        "Sun, 06 Nov 1994 10:49:37 +0200",
    ],
)
def test_the_ways_to_write_an_instant_agree(text: str) -> None:
    assert read_date(text) == 784111777  # date -ud '1994-11-06 08:49:37' +%s
    assert end_by_libcurl(text) == 0
