"""What the installed libcurl lacks."""

import pycurl
import pytest

from perfcore.engine.libcurl_features import lacks

# As `curl_version_info` gives them: the number of the bit in curl/curl.h.
BITS = {
    "ntlm": 4,
    "negotiate": 8,
    "http_version 2": 16,
    "http_version 3": 25,
    "compressed": 3,
    "https_proxy": 21,
    "unix_socket": 19,
}


def say(monkeypatch: pytest.MonkeyPatch, features: int) -> None:
    monkeypatch.setattr(pycurl, "version_info", lambda: (11, "7.0.1", 0, "Linux", features))


@pytest.mark.parametrize("feature", BITS)
def test_a_feature_is_there_when_libcurl_says_so(feature: str, monkeypatch: pytest.MonkeyPatch) -> None:
    say(monkeypatch, 1 << BITS[feature])
    assert lacks(feature) is None
    say(monkeypatch, ~(1 << BITS[feature]))
    assert lacks(feature) == "the installed libcurl 7.0.1"


def test_the_installed_libcurl_names_the_libraries_of_what_it_has() -> None:
    # curl names the library that each of these comes from in its version.
    for feature, library in (("http_version 2", "nghttp2/"), ("compressed", "zlib/")):
        assert (lacks(feature) is None) == (library in pycurl.version)


def test_an_option_that_libcurl_refuses_is_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lacks("digest") is None
    assert lacks("aws_sigv4") is None
    from perfcore.engine import libcurl_features

    libcurl_features._takes.cache_clear()
    monkeypatch.delattr(pycurl, "AWS_SIGV4")
    assert lacks("aws_sigv4") == f"the installed libcurl {pycurl.version_info()[1]}"
    libcurl_features._takes.cache_clear()


def test_a_feature_that_nobody_knows_is_a_slip() -> None:
    with pytest.raises(ValueError, match="'gopher' is no feature"):
        lacks("gopher")
