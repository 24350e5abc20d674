"""A secret is found however it is written, and where a text breaks off in its middle."""

import base64
import html
import json
import random
import re
import string
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfcore.suite.decoded_text import decodings
from perfcore.suite.masker import Masker

SECRET = 'kT9"/+ &é<w%41xQ7'
MASKER = Masker([SECRET])


@pytest.mark.parametrize(
    "encode",
    [
        str,
        str.upper,
        str.lower,
        quote,
        lambda text: quote(text, safe=""),
        lambda text: quote(text, safe="").lower(),
        lambda text: quote(quote(text, safe=""), safe=""),
        quote_plus,
        lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
        lambda text: "".join(f"\\u{ord(char):04X}" for char in text),
        lambda text: "".join(f"&#{ord(char)};" for char in text),
        html.escape,
        re.escape,
        lambda text: repr(text)[1:-1],
        lambda text: repr(text.encode())[2:-1],
        lambda text: json.dumps({"a": quote(json.dumps(text))}),
        lambda text: text.encode().hex(),
        lambda text: text.encode().decode("latin-1"),
        lambda text: base64.b32encode(b"").decode() + text,
    ],
)
def test_a_secret_is_found_in_every_spelling(encode):
    masked = MASKER.text(f"before {encode(SECRET)} after")
    assert masked.startswith("before ")
    assert masked.endswith(" after")
    left = masked.removeprefix("before ").removesuffix(" after")
    assert left.replace("***", "").strip('{}"a:\\%2 ') in ("", "b'")


@pytest.mark.parametrize("before", range(7))
@pytest.mark.parametrize("after", range(4))
@pytest.mark.parametrize("code", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_that_holds_a_secret_is_masked_whole(before, after, code):
    text = code(b"?" * before + SECRET.encode() + b">" * after).decode()
    assert MASKER.text(f"<{text}>") == "<***>"


@given(st.text(min_size=4, max_size=30).filter(lambda text: len(text.strip()) >= 4), st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_any_text_can_be_a_secret_and_is_found_in_json_in_json(secret, depth):
    masker, told = Masker([secret]), secret
    for _ in range(depth):
        told = json.dumps(told)
    assert masker.text(f"[{told}]").replace("\\", "").replace('"', "").replace("*", "") == "[]"


@pytest.mark.parametrize("kept", range(4, len(SECRET)))
def test_the_beginning_of_a_secret_at_the_end_of_a_text_that_was_cut_is_masked(kept):
    assert MASKER.text(f"x {SECRET[:kept]}", is_cut=True) == "x ***"
    assert MASKER.text(f"x {SECRET[:kept]}… y") == "x ***… y"


@pytest.mark.parametrize(
    "encode", [lambda text: json.dumps(text)[1:-1], lambda text: quote(text, safe=""), html.escape]
)
def test_a_cut_in_the_middle_of_an_escape_hides_nothing(encode):
    secret = 'aBcD"/é&é"/&Z'
    whole = encode(secret)
    masker = Masker([secret])
    for kept in range(len(whole)):
        masked = masker.text(f"x {whole[:kept]}", is_cut=True)
        left = masked.removeprefix("x ").removesuffix("***")
        assert len(left) <= 3, (whole[:kept], masked)


def test_a_body_cut_inside_of_a_character_hides_nothing():
    secret = "pass-é-ord"
    cut = f"x {secret}".encode()[:8].decode("utf-8", "replace")
    assert cut.endswith("�")
    assert Masker([secret]).text(cut, is_cut=True) == "x ***"


def test_what_ends_as_a_secret_begins_stays_in_a_text_that_is_whole():
    assert MASKER.text(f"x {SECRET[:6]}") == f"x {SECRET[:6]}"


def test_secrets_that_overlap_are_masked_together():
    assert Masker(["abcdef", "defghi"]).text("<abcdefghi>") == "<***>"


def test_a_value_that_is_known_later_is_masked_together_with_those_known_before():
    assert Masker(["abcdef"]).also(["xxabcdefyy"]).text("<xxabcdefyy> abcdef") == "<***> ***"


def test_the_lines_of_a_key_file_are_secrets_whatever_becomes_of_the_breaks():
    line, other = "MIIEvQIBADANBgkqhkiG", "9w0BAQEFAASCBKcwggSj"
    masker = Masker([f"-----BEGIN KEY-----\n{line}\n{other}\n-----END KEY-----\n"])
    assert masker.text(f"<{line}> <{other}>") == "<***> <***>"
    assert masker.text(f"-----BEGIN KEY----- {line} {other} -----END KEY-----") == "***"


@pytest.mark.parametrize(
    "text", ["", "a", "100%", "\\", "\\u12", "&amp", "%zz", "&#xffffff;", "\ud800", "%ff%fe"]
)
def test_what_only_looks_like_an_escape_does_no_harm(text):
    assert MASKER.text(text) == text
    assert MASKER.answer(text, is_cut=True) == text


@given(st.text(alphabet='a%4\\u0"n&#;xé…', max_size=40))
@settings(max_examples=300, deadline=None)
def test_each_character_of_a_decoded_text_knows_where_it_came_from(text):
    for decoding in decodings(text):
        assert len(decoding.starts) == len(decoding.text) + 1
        assert list(decoding.starts) == sorted(decoding.starts)
        assert decoding.starts[len(decoding.text)] == len(text)


def test_a_look_up_costs_the_same_for_ten_secrets_and_a_thousand(monkeypatch):
    """Counted, not timed: how many forms are compared for a text in which none of them is."""
    draw = random.Random(7)
    values = ["".join(draw.choices(string.ascii_letters, k=20)) for _ in range(1000)]
    text = "the quick brown fox 0123456789 " * 66
    compared = 0

    class Counting(str):
        def startswith(self, *arguments):
            nonlocal compared
            compared += 1
            return super().startswith(*arguments)

    monkeypatch.setattr("perfcore.suite.secret_index.folded", lambda text: Counting(text.lower()))
    assert Masker(values).text(text) == text
    assert compared <= 20
