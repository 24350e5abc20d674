"""What the transport lacks is told when the suite is loaded."""

import pytest

from perfcore.errors import SuiteError
from perfcore.suite.config_loader import load_suite
from perfcore.suite.test_suite import TestSuite

from .suites import suite

LOGIN = "username: u, password: p"
NEEDING = {
    "ntlm": (
        f"auth: {{type: ntlm, {LOGIN}}}",
        "auth.type: 'ntlm' is not in libfoo 1.0; use basic, digest or bearer",
    ),
    "negotiate": ("auth: {type: negotiate}", "auth.type: 'negotiate' is not in libfoo 1.0"),
    "digest": (f"auth: {{type: digest, {LOGIN}}}", "auth.type: 'digest' is not in libfoo 1.0"),
    "aws_sigv4": (
        "auth: {type: aws_sigv4, access_key: a, secret_key: s, region: r, service: s}",
        "auth.type: 'aws_sigv4' is not in libfoo 1.0",
    ),
    "http_version 2": ("http_version: 2", "http_version: HTTP/2 is not in libfoo 1.0; use auto or 1.1"),
    "http_version 3": ("http_version: 3", "http_version: HTTP/3 is not in libfoo 1.0"),
    "https_proxy": ("proxy: 'https://p:1'", "proxy: a proxy over https is not in libfoo 1.0"),
    "unix_socket": ("unix_socket: /tmp/perfcore-none", "unix_socket: a Unix socket is not in libfoo 1.0"),
    "compressed": ("compressed: true", "compressed: decompression is not in libfoo 1.0"),
}


def only(lacking):
    return lambda feature: "libfoo 1.0" if feature == lacking else None


def text(keys):
    return suite(f"- {{name: A, endpoint: 'https://h/', {keys}}}")


@pytest.mark.parametrize("feature", NEEDING)
def test_what_is_lacking_is_told_at_its_place(feature):
    keys, line = NEEDING[feature]
    with pytest.raises(SuiteError) as caught:
        load_suite("-", stdin=text(keys).encode(), environ={}, lacks=only(feature))
    (told,) = caught.value.mistakes
    assert told.startswith("stdin:5:")
    assert f": tests[0].{line}" in told


@pytest.mark.parametrize("feature", NEEDING)
def test_a_suite_of_python_is_told_by_its_check(feature):
    made = load_suite("-", stdin=text(NEEDING[feature][0]).encode(), environ={})
    again = TestSuite(name="S", tests=list(made.tests))
    again.check()
    with pytest.raises(SuiteError) as caught:
        again.check(only(feature))
    assert f": tests[0].{NEEDING[feature][1]}" in str(caught.value)


@pytest.mark.parametrize("feature", NEEDING)
def test_what_is_lacking_and_not_needed_is_no_mistake(feature):
    others = [keys for name, (keys, _) in NEEDING.items() if name != feature]
    for keys in (*others, "http_version: auto", "compressed: false", "proxy: 'http://p:1'"):
        load_suite("-", stdin=text(keys).encode(), environ={}, lacks=only(feature))
