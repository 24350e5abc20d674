"""A traceback is kept, and without secrets, however long it is."""

import sys

import pytest

from perfcore.engine.masked_traceback import mask_tracebacks_of_callbacks, masked_traceback, tell_bug
from perfcore.suite.secrets import Masker
from perfcore.suite.test_suite import TestSuite

SECRET = "k9Vx-Lp2Qm-Zt7e-Wb4n"


def raised(message, cause=None):
    try:
        raise RuntimeError(message) from cause
    except RuntimeError as error:
        return error


def test_a_traceback_keeps_where_it_was_and_loses_the_secret():
    text = masked_traceback(raised(f"got {SECRET!r}"), Masker([SECRET]))
    assert text.startswith("Traceback (most recent call last):")
    assert "in raised" in text
    assert text.endswith("RuntimeError: got '***'\n")


@pytest.mark.parametrize("offset", range(-len(SECRET) - 2, len(SECRET) + 2))
def test_a_long_message_is_cut_in_front_after_it_was_masked(offset):
    """The secret lies across the place where the text that is kept begins."""
    message = SECRET + "." * (1000 - len("RuntimeError: ") + offset)
    text = masked_traceback(raised(message), Masker([SECRET]), longest=1000)
    assert len(text) <= 1000
    assert not any(SECRET[at : at + 4] in text for at in range(len(SECRET) - 3))


def test_of_a_message_without_end_only_the_end_is_looked_at():
    text = masked_traceback(raised("\n".join([f"a {SECRET}"] * 100_000)), Masker([SECRET]), longest=1000)
    assert set(text.splitlines()[1:]) == {"a ***"}


def test_the_suite_in_hand_says_what_is_secret_in_the_traceback_of_a_bug(capsys):
    def work(suite):
        raise RuntimeError(f"{suite.name}: {SECRET} {OTHER} {TWIN}")

    OTHER, TWIN = "given-on-the-line", "given-by-the-twin"  # noqa: N806
    try:
        try:
            work(
                TestSuite(
                    name="S", variables={"TOKEN": SECRET}, tests=[{"name": "A", "endpoint": "http://h"}]
                )
            )
        except RuntimeError as inner:
            raise ValueError(f"because of {SECRET}") from inner
    except ValueError as error:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PERFCORE_VAR", f"A={TWIN}")
            tell_bug(error, ["suite.yaml", "--var", f"B={OTHER}"])
    said = capsys.readouterr().err
    assert "RuntimeError: S: *** *** ***" in said
    assert "ValueError: because of ***" in said


def test_a_masker_that_is_broken_itself_leaves_the_message_out(capsys, monkeypatch):
    def broken(*_arguments, **_keywords):
        raise RuntimeError("in the masker")

    monkeypatch.setattr(Masker, "text", broken)
    tell_bug(raised(SECRET), [])
    said = capsys.readouterr().err
    assert "in raised" in said
    assert said.endswith("RuntimeError\n")
    assert SECRET not in said


def test_what_a_callback_of_a_worker_raises_is_masked_too(capsys, monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    mask_tracebacks_of_callbacks(Masker([SECRET]))
    error = raised(SECRET)
    sys.excepthook(type(error), error, error.__traceback__)
    assert "RuntimeError: ***" in capsys.readouterr().err
