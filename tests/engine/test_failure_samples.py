"""What is kept of a failing exchange: nothing that was secret in it."""

import base64

import pytest

from perfcore.engine.failure_samples import BODY_KEPT, FailureSampler
from perfcore.engine.scenario import Scenario
from perfcore.engine.transport import Exchange, Request
from perfcore.metrics.outcomes import CODE
from perfcore.suite.secrets import Masker
from perfcore.suite.test_suite import TestSuite

SECRET = "k9Vx/Lp+2Qm=Zt7e"


class NoTransport:
    """Asked for nothing but to keep the next answer."""

    def keep_next(self, exchange: Exchange) -> None:
        pass

    def location(self, exchange: Exchange) -> None:
        return None


def sample_of(
    headers=(),
    body=b"",
    given=None,
    error="expectation:body",
    explanation="it is wrong",
    secrets=(),
    status=500,
    **keys,
):
    """The sample of one exchange that sent these header lines and was given this."""
    suite = TestSuite(name="S", base_url="http://h", tests=[{"name": "A", "endpoint": "/", **keys}])
    exchange = Exchange(1, 0, None)
    exchange.request = Request(
        Scenario(suite, suite.tests[0], 0, 1).settings, "http://h/", list(headers), None
    )
    exchange.status, exchange.error = status, CODE[error]
    exchange.headers, exchange.body = given or {"x": "y"}, body
    sent = []
    FailureSampler(Masker(secrets), NoTransport(), 0, sent.append).note(exchange, explanation)
    return sent[0]["failure"]["sample"]


@pytest.mark.parametrize(
    "line", [f"Authorization: Bearer {SECRET}", f"X-Api-Key: {SECRET}", f"Cookie: a=b; sid={SECRET}"]
)
def test_what_was_sent_as_a_credential_is_masked_in_the_body_that_repeats_it(line):
    body = f"you said {SECRET}, {base64.b64encode(b'..' + SECRET.encode()).decode()}".encode()
    assert sample_of([line], body)["body"] == "you said ***, ***"


def test_a_session_that_the_server_gives_is_masked_in_the_body_too():
    given = {"set-cookie": f"theme={SECRET}; Path=/", "content-type": "text/plain"}
    sample = sample_of(given=given, body=f"hello {SECRET}".encode())
    assert sample["body"] == "hello ***"
    assert sample["headers"] == {"set-cookie": "***", "content-type": "text/plain"}


@pytest.mark.parametrize("kept", range(4, len(SECRET)))
def test_a_secret_across_the_end_of_what_is_kept_leaves_nothing(kept):
    body = b"." * (BODY_KEPT - kept) + SECRET.encode() + b"....."
    assert sample_of(body=body, secrets=[SECRET])["body"] == "." * (BODY_KEPT - kept) + "***"


def test_a_secret_that_a_broken_connection_cuts_leaves_nothing():
    sample = sample_of(body=b"x " + SECRET[:9].encode(), error="truncated", secrets=[SECRET])
    assert sample["body"] == "x ***"


def test_a_header_that_the_server_cut_leaves_nothing():
    given = {"etag": f"x {SECRET[:9]}", "location": f"/x/{SECRET[:9]}"}
    assert sample_of(given=given, secrets=[SECRET])["headers"] == {"etag": "x ***", "location": "/x/***"}


def test_a_text_of_libcurls_that_ends_in_a_secret_leaves_nothing():
    text = "x" * 240 + " " + SECRET[:9]
    assert sample_of(error="refused", explanation=text, secrets=[SECRET])["detail"] == "x" * 240 + " ***"


def test_a_message_that_quotes_the_beginning_of_a_secret_leaves_nothing():
    text = f"header ETag is 'x', expected '{SECRET[:9]}…' in it"
    assert (
        sample_of(explanation=text, secrets=[SECRET])["detail"] == "header ETag is 'x', expected '***…' in it"
    )


def test_a_redirect_shows_no_token_that_the_server_put_into_it():
    text = "302 → https://u:p@h/next?access_token=abc&x=1; set follow_redirects: true"
    assert (
        sample_of(explanation=text)["detail"]
        == "302 → https://***@h/next?access_token=***&x=1; set follow_redirects: true"
    )


def test_a_redirect_that_is_not_of_http_says_why_it_was_not_followed():
    sample = sample_of(
        given={"location": "ftp://h/x"},
        error="expectation:status",
        explanation="",
        status=302,
        follow_redirects=True,
    )
    assert sample["detail"] == "302 → ftp://h/x; only http and https are followed"


@pytest.mark.parametrize("charset", ["utf-8", "latin-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_secret_is_found_in_whatever_charset_the_server_repeats_it(charset):
    secret = "pässw0rd-geheim"
    body = sample_of(body=f"the word is {secret} here".encode(charset), secrets=[secret])["body"]
    assert "ssw0rd" not in body.replace("\0", "")
    assert "***" in body


def test_a_body_that_is_cut_within_a_letter_keeps_its_others():
    assert sample_of(body="größer ü".encode()[:-1])["body"].startswith("größer")
