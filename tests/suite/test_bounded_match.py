"""Regular expressions whose search ends."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfcore.suite import bounded_match
from perfcore.suite.bounded_match import (
    SearchTooLongError,
    is_found,
    is_found_by_iregexp,
    read_pattern,
)
from perfcore.suite.expectation import Expectation
from perfcore.suite.json_conditions import read_json_check

# It fails after trying every division of the letters; no matcher with back-references does it in time.
EXPLODES = "(a|aa)+$"
VICTIM = "a" * 5000 + "!"
TOO_LONG = "the pattern took longer than"


@pytest.fixture(autouse=True)
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_match, "LONGEST_SEARCH_S", 0.05)


def test_a_search_that_would_not_end_is_given_up() -> None:
    with pytest.raises(SearchTooLongError):
        is_found(read_pattern(EXPLODES), VICTIM)


def test_a_body_on_which_the_pattern_takes_too_long_breaks_the_expectation() -> None:
    expectation = Expectation(body_matches=EXPLODES)

    kind, text = expectation.first_broken(200, {}, VICTIM.encode(), 0.1) or ("", "")
    assert kind == "body"
    assert text.startswith(f"body_matches '{EXPLODES}': {TOO_LONG}")
    assert text.endswith("on this body")
    assert expectation.failed_checks(200, {}, VICTIM.encode(), 0.1) == 0b10


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("$.a", {"matches": EXPLODES}),
        (f"$[?search(@, '{EXPLODES[:-1]}b')]", {"exists": True}),
        (f"$[?match(@, '{EXPLODES[:-1]}b')]", {"exists": True}),
    ],
)
def test_a_condition_on_which_the_pattern_takes_too_long_is_broken(path: str, wanted: object) -> None:
    told = read_json_check(path, wanted).broken_by({"a": VICTIM})

    assert told is not None
    assert told.startswith(f"{path}: {TOO_LONG}")


@given(
    st.sampled_from(
        [r"id-\d+", "^a.c$", r"(?i)x\b", "[^b-d]+", "(?P<n>a)(?P=n)", "a|b|", "(?s)a.*c", r"\Aü\Z", "x{2,3}?"]
    ),
    st.text("abcdxX iü-7\n", max_size=12),
)
def test_it_finds_what_the_re_of_python_finds(pattern: str, text: str) -> None:
    assert is_found(read_pattern(pattern), text) == (re.search(pattern, text) is not None)


@pytest.mark.parametrize("flags", [0, re.I, re.M, re.S, re.X, re.A, re.I | re.M | re.S | re.X | re.A])
@pytest.mark.parametrize("text", ["a c", "b\nac", "A\nC", "ac", "üac"])
def test_the_flags_of_a_compiled_pattern_count(flags: re.RegexFlag, text: str) -> None:
    pattern = re.compile(r"^\wa? c|^a.c", flags)

    assert is_found(read_pattern(pattern), text) == (pattern.search(text) is not None)


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("(", "'(' is not a regular expression: missing )"),
        ("a{99999999999}", "is not a regular expression: the repetition number is too large"),
        ("(" * 6000, "is not a regular expression: "),
        ("x" * 10_001, "is a regular expression of more than 10,000 characters"),
        (5, "5 is not a regular expression"),
        (None, "null is not a regular expression"),
        (re.compile(b"a"), "is not a regular expression"),
        (r"\p{L}", "bad escape"),
    ],
)
def test_what_is_no_pattern_is_told(pattern: object, told: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_pattern(pattern)
    assert told in str(caught.value)


@pytest.mark.filterwarnings("error")
def test_reading_a_pattern_warns_of_nothing() -> None:
    assert read_pattern("[[a]").pattern == "[[a]"


@pytest.mark.parametrize(
    ("pattern", "text", "searched", "matched"),
    [
        ("a.c", "abc", True, True),
        ("a.c", "xabcx", True, False),
        ("a.c", "a\nc", False, False),
        ("a[.]c", "abc", False, False),
        ("a[.]c", "a.c", True, True),
        (r"a\.c", "abc", False, False),
    ],
)
def test_the_dot_of_a_jsonpath_pattern_is_no_end_of_a_line(
    pattern: str, text: str, searched: bool, matched: bool
) -> None:
    assert is_found_by_iregexp(pattern, text, whole=False) is searched
    assert is_found_by_iregexp(pattern, text, whole=True) is matched


def test_a_jsonpath_pattern_that_the_standard_does_not_know_finds_nothing() -> None:
    assert read_json_check("$[?search(@, 'a(?=b)')]", {"exists": False}).broken_by(["ab"]) is None


def test_a_path_that_finds_more_values_than_anybody_meant_is_broken() -> None:
    document: object = 1
    for _ in range(90):
        document = [document]

    told = read_json_check("$..*..*..*", {"exists": True}).broken_by(document)
    assert told == "$..*..*..* finds more than 100,000 values"
