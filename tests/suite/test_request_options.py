"""The keys that say how a request reaches the server and what is done with its answer."""

import socket

import pytest

from perfcore.errors import SuiteError
from perfcore.suite.authentication import AwsSigV4Auth, DigestAuth, NegotiateAuth, NtlmAuth
from perfcore.suite.config_loader import load_suite
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import TestSuite

from .suites import suite

CONNECT = {"dns", "refused", "unreachable", "connect_timeout", "tls"}
AWS = {"type": "aws_sigv4", "access_key": "a", "secret_key": "s", "region": "eu-central-1", "service": "s3"}


def case(**keys):
    return TestCase(**{"name": "A", "endpoint": "/a", **keys})


def mistakes(**keys):
    with pytest.raises(SuiteError) as caught:
        case(**keys)
    return [line.removeprefix("TestCase 'A': ") for line in caught.value.mistakes]


def loaded(tests, head="base_url: http://h", environ=None):
    return load_suite("-", stdin=suite(tests, head).encode(), environ=environ or {})


def load_mistakes(tests, head="base_url: http://h", environ=None):
    with pytest.raises(SuiteError) as caught:
        loaded(tests, head, environ)
    return list(caught.value.mistakes)


# -- values -----------------------------------------------------------------------------------------------------


def test_without_any_of_the_keys_a_request_is_a_plain_one():
    plain = case()
    assert (plain.cookies, plain.follow_redirects, plain.max_redirects, plain.compressed) == (
        False,
        False,
        10,
        False,
    )
    assert (plain.retries, plain.retry_backoff_s, plain.http_version) == (0, 0.1, "auto")
    assert plain.retry_on.kinds == CONNECT | {"timeout"}
    assert plain.retry_on.statuses == {502, 503}
    assert (plain.proxy, plain.resolve, plain.dns.select, plain.local_addresses) == ("", {}, "first", ())
    assert (plain.unix_socket, plain.preconnect, plain.multipart, plain.auth) == (None, False, None, None)


@pytest.mark.parametrize(
    ("keys", "attribute", "value"),
    [
        ({"max_redirects": 0}, "max_redirects", 0),
        ({"max_redirects": "3"}, "max_redirects", 3),
        ({"retries": "0"}, "retries", 0),
        ({"retries": 100}, "retries", 100),
        ({"retry_backoff": 0}, "retry_backoff_s", 0.0),
        ({"http_version": 1.1}, "http_version", "1.1"),
        ({"http_version": 2}, "http_version", "2"),
        ({"http_version": "2-prior-knowledge"}, "http_version", "2-prior-knowledge"),
        ({"proxy": None}, "proxy", ""),
        ({"proxy": "socks5h://u:p%40@[::1]:1080"}, "proxy", "socks5h://u:p%40@[::1]:1080"),
        (
            {"resolve": {"API.Example.com": "[::1]", "bücher.example": "127.0.0.1"}},
            "resolve",
            {"api.example.com": "::1", "xn--bcher-kva.example": "127.0.0.1"},
        ),
        ({"local_addresses": ["127.0.0.2", "0:0::1"]}, "local_addresses", ("127.0.0.2", "::1")),
        ({"cookies": "true"}, "cookies", True),
    ],
)
def test_what_a_key_takes_becomes_its_plain_value(keys, attribute, value):
    assert getattr(case(**keys), attribute) == value


def test_retry_on_names_kinds_statuses_and_classes():
    retry_on = case(retry_on=["connect", "truncated", "tls", 404, "5xx", "201-203"]).retry_on
    assert retry_on.kinds == CONNECT | {"truncated"}
    assert retry_on.statuses == {404, 201, 202, 203, *range(500, 600)}


@pytest.mark.parametrize(
    ("auth", "made"),
    [
        ({"type": "digest", "username": "u", "password": 7}, DigestAuth(username="u", password="7")),
        ({"type": "ntlm", "username": "D\\u", "password": "p"}, NtlmAuth(username="D\\u", password="p")),
        ({"type": "negotiate"}, NegotiateAuth()),
        (
            {"type": "negotiate", "username": "u", "password": "p"},
            NegotiateAuth(username="u", password="p"),
        ),
        (AWS, AwsSigV4Auth(access_key="a", secret_key="s", region="eu-central-1", service="s3")),
    ],
)
def test_every_kind_of_auth_is_chosen_by_its_type(auth, made):
    assert case(auth=auth).auth == made


def test_paths_start_at_the_suite_file(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.txt").write_text("b")
    path = tmp_path / "suite.yaml"
    path.write_text(
        suite(
            "- {name: A, endpoint: /, multipart: {files: {one: a.txt, many: [a.txt, '${B}']}}}\n"
            "- {name: B, endpoint: /, unix_socket: s.sock}"
        )
    )
    first, second = load_suite(path, environ={"B": "b.txt"}).tests
    assert first.multipart.files == {
        "one": (tmp_path / "a.txt",),
        "many": (tmp_path / "a.txt", tmp_path / "b.txt"),
    }
    assert second.unix_socket == tmp_path / "s.sock"


def test_fields_of_multipart_stay_as_they_were_written():
    (test,) = loaded("- {name: A, endpoint: /, multipart: {fields: {v: 1.10, w: [007, '${user()}']}}}").tests
    assert test.multipart.fields == {"v": ("1.10",), "w": ("007", "${user()}")}


def test_a_socket_that_is_there_is_taken_and_one_that_is_not_yet_as_well(tmp_path):
    path = tmp_path / "s"
    assert case(unix_socket=str(path)).unix_socket == path
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        assert case(unix_socket=str(path)).unix_socket == path


# -- mistakes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"max_redirects": -1}, "max_redirects: -1 is not a whole number from 0 to 1,000"),
        ({"max_redirects": True}, "max_redirects: true is not a whole number from 0 to 1,000"),
        ({"retries": 101}, "retries: 101 is not a whole number from 0 to 100"),
        ({"retries": None}, "retries: null is not a whole number from 0 to 100"),
        (
            {"retry_on": ["conect"]},
            "retry_on[0]: 'conect' is not a status such as 502 or 5xx, or one of connect, timeout, reset, closed, "
            "truncated, bad_response, too_many_redirects, dns, refused, unreachable, connect_timeout, tls; "
            "did you mean 'connect'?",
        ),
        ({"retry_on": ["1xx"]}, "retry_on[0]: '1xx' is no status that a request can end with; write 200 to"),
        ({"retry_on": [600]}, "retry_on[0]: 600 is not a status such as 502 or 5xx, or one of connect"),
        ({"retry_on": [[502]]}, "retry_on[0]: a list is not a status"),
        ({"retry_on": 502}, "retry_on: 502 is not a list; write [502]"),
        ({"retry_on": []}, "retry_on: is empty; write a status"),
        ({"retry_backoff": "soon"}, "retry_backoff: 'soon' is not a duration"),
        ({"http_version": 4}, "http_version: 4 is not one of auto, 1.1, 2, 2-prior-knowledge, 3"),
        ({"http_version": "1.10"}, "http_version: '1.10' is not one of auto"),
        ({"http_version": True}, "http_version: true is not one of auto"),
        ({"proxy": "proxy:3128"}, "proxy: 'proxy:3128' is not the URL of a proxy; write http://host:3128"),
        ({"proxy": "ftp://proxy:3128"}, "proxy: 'ftp://proxy:3128' is not the URL of a proxy"),
        ({"proxy": "http://proxy"}, "proxy: 'http://proxy' has no usable port"),
        ({"proxy": "http://:3128"}, "proxy: 'http://:3128' has no host"),
        ({"proxy": "http://proxy:99999"}, "proxy: 'http://proxy:99999' is not a URL: its host or port"),
        ({"proxy": "http://proxy:80/x"}, "proxy: 'http://proxy:80/x' has a path"),
        ({"proxy": "http://pro xy:80"}, "proxy: 'http://pro xy:80' holds a space"),
        ({"proxy": 3128}, "proxy: 3128 is not the URL of a proxy"),
        ({"resolve": {"h": "other"}}, "resolve.h: 'other' is not an IP address; write 127.0.0.1 or ::1"),
        ({"resolve": {"h": "fe80::1%eth0"}}, "resolve.h: 'fe80::1%eth0' is not an IP address"),
        (
            {"resolve": {"h:80": "::1"}},
            "resolve[\"h:80\"]: 'h:80' is not the name of a host; write it without",
        ),
        ({"resolve": {"A": "::1", "a": "::1"}}, "resolve.a: 'a' is given twice"),
        ({"resolve": ["h"]}, "resolve: a list is not a mapping of names to values"),
        ({"dns": {"select": "last"}}, "dns.select: 'last' is not one of first, round_robin, random"),
        ({"dns": "random"}, "dns: 'random' is not a mapping; write select: …"),
        ({"local_addresses": ["eth0"]}, "local_addresses[0]: 'eth0' is not an IP address"),
        ({"local_addresses": ["::1", "0::1"]}, "local_addresses[1]: '::1' is given twice"),
        ({"unix_socket": "/" + "s" * 107}, "unix_socket: '/sssssss"),
        ({"unix_socket": __file__}, f"unix_socket: '{__file__[:10]}"),
        ({"unix_socket": ""}, "unix_socket: '' is not the path of a Unix socket"),
        ({"multipart": {}}, "multipart: is empty; write fields: {name: text}, files: {name: path} or both"),
        ({"multipart": {"fields": {"a": None}}}, "multipart.fields.a: null is not text"),
        ({"multipart": {"files": {"a": ["/nowhere"]}}}, "multipart.files.a[0]: there is no file '/nowhere'"),
        ({"multipart": "a"}, "multipart: 'a' is not a mapping; write fields: …, files: …"),
        ({"auth": {"type": "digest", "username": "u"}}, "auth.password: is missing"),
        ({"auth": {"type": "kerberos"}}, "auth.type: 'kerberos' is not one of basic, bearer, digest, ntlm,"),
        (
            {"auth": {"type": "negotiate", "username": "u"}},
            "auth.password: is missing; give both, or leave out username to use the ticket cache",
        ),
        ({"cookies": "yes"}, "cookies: 'yes' is neither true nor false"),
    ],
)
def test_a_wrong_value_is_told_with_what_would_be_right(keys, line):
    (told,) = mistakes(**keys)
    assert told.startswith(line)


def test_a_path_of_a_socket_has_room_for_107_bytes():
    assert case(unix_socket="/" + "s" * 106).unix_socket is not None
    (told,) = mistakes(unix_socket="/" + "ß" * 54)
    assert "has 109 bytes; the path of a Unix socket has at most 107" in told


@pytest.mark.parametrize(
    "value", ["user:hush@proxy:80", "ftp://user:hush@proxy:80", "http://user:hush@proxy"]
)
def test_the_password_of_a_wrong_proxy_is_not_told(value):
    (told,) = mistakes(proxy=value)
    assert "hush" not in told


PROXY = {"proxy": "http://p:1"}
SOCKET = {"unix_socket": "/tmp/perfcore-test-there-is-none"}


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (
            {**PROXY, "resolve": {"h": "::1"}},
            "resolve: has no effect with proxy, which looks names up itself",
        ),
        ({**PROXY, "dns": {"select": "random"}}, "dns: has no effect with proxy"),
        ({**PROXY, **SOCKET}, "proxy: has no effect with unix_socket; give one of them"),
        ({**SOCKET, "resolve": {"h": "::1"}}, "resolve: has no effect with unix_socket"),
        ({**SOCKET, "dns": {"select": "round_robin"}}, "dns: has no effect with unix_socket"),
        ({**SOCKET, "local_addresses": ["::1"]}, "local_addresses: has no effect with unix_socket"),
        ({**PROXY, "http_version": 3}, "http_version: HTTP/3 cannot go through proxy"),
        ({**SOCKET, "http_version": "3"}, "http_version: HTTP/3 cannot go through unix_socket"),
        ({"preconnect": True, "keepalive": False}, "preconnect: has no use with keepalive: false"),
        (
            {"compressed": True, "headers": {"ACCEPT-ENCODING": "br"}},
            "compressed: there is an Accept-Encoding header too; give one of them",
        ),
        (
            {"multipart": {"fields": {"a": "b"}}, "headers": {"content-type": "multipart/form-data"}},
            "multipart: there is a Content-Type header too; leave it out",
        ),
        (
            {"auth": AWS, "headers": {"authorization": "x"}},
            "auth: there is an Authorization header too; give one of them",
        ),
        (
            {"trace": "w3c", "headers": {"TraceParent": "${T}"}},
            "trace: there is a traceparent header too; give one of them",
        ),
        (
            {"multipart": {"fields": {"a": "b"}}, "form": {}},
            "multipart: a request has one body; it already has form",
        ),
    ],
)
def test_what_cannot_be_had_together_is_a_mistake(keys, line):
    (told,) = mistakes(**keys)
    assert told.startswith(line)


@pytest.mark.parametrize(
    "keys",
    [
        {**PROXY, "resolve": {}, "dns": {"select": "first"}, "local_addresses": ["127.0.0.2"]},
        {**SOCKET, "proxy": None, "local_addresses": []},
        {"preconnect": "false", "keepalive": False},
        {"compressed": False, "headers": {"Accept-Encoding": "br"}},
        {"auth": None, "headers": {"Authorization": "x"}},
        {"trace": None, "headers": {"traceparent": "x"}},
        {"trace": "w3c", "headers": {"tracestate": "a=b"}},
        {"http_version": "3", "preconnect": True},
        {**PROXY, "preconnect": True},
        {**SOCKET, "preconnect": True},
    ],
)
def test_what_asks_for_nothing_excludes_nothing(keys):
    assert case(**keys).name == "A"


# -- over the whole suite ---------------------------------------------------------------------------------------


def test_the_nearer_of_what_excludes_each_other_displaces_the_defaults():
    first, second, third, fourth = loaded(
        "- {name: A, endpoint: /, headers: {accept-encoding: br}}\n"
        "- {name: B, endpoint: /, headers: {AUTHORIZATION: x}}\n"
        "- {name: C, endpoint: /, multipart: {fields: {a: b}}}\n"
        "- {name: D, endpoint: /, proxy: null, unix_socket: /tmp/perfcore-none}",
        head="base_url: http://h\ndefaults: {compressed: true, json: 1, headers: {content-type: a/b},\n"
        "  auth: {type: digest, username: u, password: p}, proxy: 'http://p:1'}",
    ).tests
    assert (first.compressed, second.compressed) == (False, True)
    assert (first.auth is None, second.auth is None) == (False, True)
    assert third.has_json is False
    assert third.headers == {}
    assert fourth.headers == {"content-type": "a/b"}
    assert (third.proxy, fourth.proxy) == ("http://p:1", "")


def test_trace_and_a_traceparent_header_displace_those_of_the_defaults():
    tests = (
        "- {name: A, endpoint: /}\n- {name: B, endpoint: /, headers: {TRACEPARENT: b}}\n"
        "- {name: C, endpoint: /, trace: w3c}\n- {name: D, endpoint: /, trace: null}"
    )

    def told(defaults):
        cases = loaded(tests, head=f"base_url: http://h\ndefaults: {{{defaults}}}").tests
        return [(one.trace, list(one.headers)) for one in cases]

    own = (None, ["TRACEPARENT"])
    assert told("trace: w3c") == [("w3c", []), own, ("w3c", []), (None, [])]
    header = (None, ["traceparent"])
    assert told("headers: {traceparent: a}") == [header, own, ("w3c", []), header]


def test_an_environment_may_ask_for_traces():
    text = suite(
        "- {name: A, endpoint: /}",
        head="base_url: http://h\nenvironments: {staging: {defaults: {trace: w3c}}}",
    )
    here, there = (load_suite("-", stdin=text.encode(), environ={}, env=env) for env in (None, "staging"))
    assert (here.tests[0].trace, there.tests[0].trace) == (None, "w3c")


def test_an_accept_encoding_of_the_defaults_yields_to_a_test_that_is_compressed():
    first, second = loaded(
        "- {name: A, endpoint: /, compressed: true}\n- {name: B, endpoint: /, compressed: false}",
        head="base_url: http://h\ndefaults: {headers: {Accept-Encoding: br}}",
    ).tests
    assert (first.headers, second.headers) == ({}, {"Accept-Encoding": "br"})


def test_a_number_of_a_version_is_read_as_it_was_written():
    tests = "- {name: A, endpoint: /, http_version: 1.1}\n- {name: B, endpoint: /, http_version: 2}"
    assert [test.http_version for test in loaded(tests).tests] == ["1.1", "2"]
    (told,) = load_mistakes("- {name: A, endpoint: /, http_version: 1.10}")
    assert told.startswith("stdin:5:30: tests[0].http_version: '1.10' is not one of auto")


@pytest.mark.parametrize(
    ("base_url", "endpoint"),
    [("http://h", "/a"), ("embedded", "/a"), ("https://h", "HTTP://h/a"), ("https://h", "http://${H}/a")],
)
def test_http_3_to_a_url_of_http_is_a_mistake(base_url, endpoint):
    tests = f"- {{name: A, endpoint: '{endpoint}', http_version: 3}}"
    (told,) = load_mistakes(tests, f"base_url: {base_url}", {"H": "h"})
    assert told.endswith("http_version: HTTP/3 goes over https only, and this URL is one of http")
    made = {"name": "A", "endpoint": endpoint, "http_version": "3"}
    with pytest.raises(SuiteError, match="HTTP/3 goes over https only"):
        TestSuite(name="S", base_url=base_url, tests=[made], variables={"H": "h"}).check()


@pytest.mark.parametrize(
    ("base_url", "endpoint"), [("https://h", "/a"), ("http://h", "https://h/a"), ("HTTPS://h", "/a")]
)
def test_http_3_to_a_url_of_https_is_right(base_url, endpoint):
    loaded(f"- {{name: A, endpoint: '{endpoint}', http_version: 3}}", f"base_url: {base_url}")


@pytest.mark.parametrize(
    ("region", "line"),
    [
        ("${user()}", "auth.region: is different for each request; the signature needs one that is known at"),
        ("a:b", "auth.region: 'a:b' is no name of a region"),
        ("${EMPTY}", "auth.region: '' is no name of a region"),
        ("${NOPE}", "auth.region: 'NOPE' is not set"),
    ],
)
def test_the_region_of_a_signature_is_known_at_load(region, line):
    auth = f"{{type: aws_sigv4, access_key: a, secret_key: s, region: '{region}', service: s3}}"
    (told,) = load_mistakes(f"- {{name: A, endpoint: /, auth: {auth}}}", environ={"EMPTY": ""})
    assert line in told


def test_texts_of_auth_and_multipart_are_checked_like_others():
    told = load_mistakes(
        "- name: A\n  endpoint: /\n  auth: {type: digest, username: '${N1}', password: '${P}'}\n"
        "- name: B\n  endpoint: /\n  multipart: {fields: {a: ['${N2}', x], b: '${nope()}'}, files: {f: '${N3}'}}",
        environ={"P": "two\nlines"},
    )
    # An unset path is left without a file as well, which says nothing more.
    assert [line.split(": ")[1] for line in told] == [
        "tests[0].auth.username",
        "tests[0].auth.password",
        "tests[1].multipart.fields.a[0]",
        "tests[1].multipart.fields.b",
        "tests[1].multipart.files.f",
    ]
    assert "cannot hold a line break" in told[1]


def test_python_names_of_keys_are_unknown_in_a_file():
    (told,) = load_mistakes("- {name: A, endpoint: /, retry_backoff_s: 1}")
    assert "unknown key 'retry_backoff_s'; did you mean 'retry_backoff'?" in told
