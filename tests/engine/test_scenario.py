import base64
import json
import random
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from perfcore.engine.scenario import Scenario
from perfcore.engine.transport import Exchange, Request, RequestSettings
from perfcore.metrics.outcomes import ERROR_KINDS, LAST_TRANSPORT_KIND
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import TestSuite

BASE = "http://api.example.com"


def scenario(
    endpoint: str = "/x",
    *,
    base_url: str = BASE,
    variables: dict[str, object] | None = None,
    seed: int = 1,
    **keys: object,
) -> Scenario:
    case = TestCase(name="t", endpoint=endpoint, **keys)
    suite = TestSuite(name="s", base_url=base_url, variables=variables or {}, tests=[case])
    suite.check()
    return Scenario(suite, suite.tests[0], 0, seed)


def rendered(*arguments: str, **keys: object) -> Request:
    return scenario(*arguments, **keys).request_for(Exchange(1, 0, None))  # type: ignore[arg-type]


def sent(made: Scenario, user: int, iterations: int) -> list[tuple[str, tuple[str, ...], bytes | None]]:
    """What a user sends in its first iterations."""
    exchange = Exchange(user, 0, None)
    requests = []
    for iteration in range(1, iterations + 1):
        exchange.iteration = iteration
        request = made.request_for(exchange)
        requests.append((request.url, tuple(request.headers), request.body))
    return requests


# -- URL --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base_url", "endpoint", "url"),
    [
        (BASE, "/users", f"{BASE}/users"),
        (BASE, "users", f"{BASE}/users"),
        (f"{BASE}/", "/users", f"{BASE}/users"),
        (f"{BASE}/v1", "/users", f"{BASE}/v1/users"),
        (f"{BASE}/v1/", "/users", f"{BASE}/v1/users"),
        (f"{BASE}/v1/", "users/", f"{BASE}/v1/users/"),
        (f"{BASE}:8080/v1", "?a=1", f"{BASE}:8080/v1?a=1"),
        (f"{BASE}/v1", "", f"{BASE}/v1"),
        (BASE, "/users:list", f"{BASE}/users:list"),
        (BASE, "/mailto:a", f"{BASE}/mailto:a"),
        (f"{BASE}/v1", "http://other.example.com/y?z=1", "http://other.example.com/y?z=1"),
        (f"{BASE}/v1", "HTTPS://other.example.com/y", "HTTPS://other.example.com/y"),
        (BASE, "/a#top", f"{BASE}/a"),
        (BASE, "/a?b=1#top", f"{BASE}/a?b=1"),
        (BASE, "/a//b", f"{BASE}/a//b"),
        (BASE, "/next?url=http://x/y", f"{BASE}/next?url=http://x/y"),
    ],
)
def test_the_url_is_the_endpoint_under_the_base(base_url: str, endpoint: str, url: str) -> None:
    assert rendered(endpoint, base_url=base_url).url == url


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("/caf%C3%A9", f"{BASE}/caf%C3%A9"),
        ("/café", f"{BASE}/caf%C3%A9"),
        ("/a%20b", f"{BASE}/a%20b"),
        ("/a?q=ü&r=1", f"{BASE}/a?q=%C3%BC&r=1"),
        ("/a;b=1,2/c@d", f"{BASE}/a;b=1,2/c@d"),
        ("/${NAME}", f"{BASE}/zo%C3%AB"),
        ("/{id}", f"{BASE}/%7Bid%7D"),
    ],
)
def test_only_what_cannot_be_sent_is_encoded(endpoint: str, url: str) -> None:
    assert rendered(endpoint, variables={"NAME": "zoë"}).url == url


def test_names_beyond_ascii_in_base_and_host_can_be_sent() -> None:
    # Both forms computed with the rules of IDNA and RFC 3986 by hand (bücher → xn--bcher-kva is the classic).
    assert (
        rendered("/x", base_url="http://bücher.example:8080/é").url
        == "http://xn--bcher-kva.example:8080/%C3%A9/x"
    )
    assert rendered("https://u:p@bücher.example/x").url == "https://u:p@xn--bcher-kva.example/x"
    assert rendered("http://bücher:81/x").url == "http://xn--bcher-kva:81/x"


def test_params_are_encoded_and_join_a_query_that_is_there() -> None:
    params = {"q": "a b&c=d/é", "n": 3, "yes": True, "none": "", "list": [1, "two"]}
    url = rendered("/x", params=params).url
    assert parse_qsl(urlsplit(url).query, keep_blank_values=True) == [
        ("q", "a b&c=d/é"),
        ("n", "3"),
        ("yes", "true"),
        ("none", ""),
        ("list", "1"),
        ("list", "two"),
    ]
    assert rendered("/x?a=1", params={"b": 2}).url == f"{BASE}/x?a=1&b=2"
    assert rendered("/x?a=1#top", params={"b": 2}).url == f"{BASE}/x?a=1&b=2"
    assert rendered("", params={"b": 2}).url == f"{BASE}?b=2"


def test_names_of_params_are_encoded_too() -> None:
    url = rendered("/x", params={"a b&": "1"}).url
    assert parse_qsl(urlsplit(url).query) == [("a b&", "1")]


# -- headers ------------------------------------------------------------------------------------------------------


def test_headers_are_lines_in_the_given_order() -> None:
    request = rendered(headers={"X-B": "2", "X-A": "${A}", "X-Empty": ""}, variables={"A": "one"})
    assert request.headers == ["X-B: 2", "X-A: one", "X-Empty: "]


def test_a_value_cannot_add_headers_of_its_own() -> None:
    # A suite that was checked has no such value; the scenario does not rely on it.
    case = TestCase(name="t", endpoint="/", headers={"X-A": "${A}"})
    suite = TestSuite(name="s", base_url=BASE, variables={"A": "1\r\nX-Evil: 2"}, tests=[case])
    request = Scenario(suite, suite.tests[0], 0, 1).request_for(Exchange(1, 0, None))
    assert request.headers == ["X-A: 1  X-Evil: 2"]


@pytest.mark.parametrize(
    ("keys", "content_type"),
    [
        ({"method": "POST", "json": {"a": 1}}, "application/json"),
        ({"method": "POST", "json": None}, "application/json"),
        ({"method": "POST", "form": {"a": "1"}}, "application/x-www-form-urlencoded"),
        ({"method": "POST", "body": "text"}, None),
        ({"method": "POST"}, None),
        ({"method": "GET"}, None),
        ({"method": "POST", "json": {}, "headers": {"content-type": "application/x"}}, "application/x"),
        ({"method": "POST", "form": {"a": "1"}, "headers": {"Content-Type": "a/b"}}, "a/b"),
    ],
)
def test_a_content_type_is_sent_only_where_one_is_meant(
    keys: dict[str, object], content_type: str | None
) -> None:
    lines = [line for line in rendered(**keys).headers if line.lower().startswith("content-type")]
    assert [line.partition(": ")[2] for line in lines] == ([content_type] if content_type else [])


def test_basic_auth_is_name_and_password_in_base64() -> None:
    request = rendered(
        auth={"type": "basic", "username": "Aladdin", "password": "${PASSWORD}"},
        variables={"PASSWORD": "open sesame"},
    )
    # The example of RFC 2617, section 2.
    assert request.headers == ["Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="]
    request = rendered(auth={"type": "basic", "username": "zoë", "password": "ü:"})
    assert base64.b64decode(request.headers[0].split()[-1]).decode() == "zoë:ü:"


def test_bearer_auth_is_the_token() -> None:
    request = rendered(auth={"type": "bearer", "token": "${TOKEN}"}, variables={"TOKEN": "abc.def"})
    assert request.headers == ["Authorization: Bearer abc.def"]


# -- bodies -------------------------------------------------------------------------------------------------------


def test_json_bodies_keep_their_types() -> None:
    body = rendered(
        method="POST",
        json={"text": "${N}x", "whole": "${N}", "list": [1, None, True], "é": "ü"},
        variables={"N": 7},
    ).body
    assert body is not None
    assert json.loads(body) == {"text": "7x", "whole": 7, "list": [1, None, True], "é": "ü"}


def test_a_form_is_encoded() -> None:
    body = rendered(method="POST", form={"a b": "1&2=3", "ü": "é", "empty": ""}).body
    assert body is not None
    assert parse_qsl(body.decode("ascii"), keep_blank_values=True) == [
        ("a b", "1&2=3"),
        ("ü", "é"),
        ("empty", ""),
    ]


def test_a_text_body_is_utf_8() -> None:
    assert rendered(method="PUT", body="grüße ${WHO}", variables={"WHO": "Zoë"}).body == "grüße Zoë".encode()


def test_a_body_file_is_sent_as_it_is(tmp_path: Path) -> None:
    content = random.Random(1).randbytes(10_000) + b"${NOT_A_TEMPLATE}"
    (tmp_path / "body.bin").write_bytes(content)
    made = scenario(method="POST", body_file=str(tmp_path / "body.bin"))
    assert made.request_for(Exchange(1, 0, None)).body == content
    assert made.constant is not None


@pytest.mark.parametrize(
    ("method", "body"),
    [
        *((method, None) for method in ("GET", "HEAD", "DELETE", "OPTIONS", "TRACE")),
        *((method, b"") for method in ("POST", "PUT", "PATCH")),
    ],
)
def test_without_a_body_some_methods_send_an_empty_one(method: str, body: bytes | None) -> None:
    assert rendered(method=method).body == body


# -- constants and functions --------------------------------------------------------------------------------------


def test_a_request_that_depends_on_nothing_is_rendered_once() -> None:
    made = scenario(
        "/${A}",
        variables={"A": "a"},
        method="POST",
        headers={"X": "${A}"},
        params={"q": "${A}"},
        json={"a": "${A}"},
        auth={"type": "bearer", "token": "${A}"},
    )
    assert made.constant is not None
    assert made.request_for(Exchange(1, 0, None)) is made.request_for(Exchange(2, 0, None)) is made.constant
    assert made.constant.url == f"{BASE}/a?q=a"


@pytest.mark.parametrize(
    "keys",
    [
        {"endpoint": "/${user()}"},
        {"headers": {"X": "${user()}"}},
        {"params": {"q": "${user()}"}},
        {"method": "POST", "json": {"q": ["${user()}"]}},
        {"method": "POST", "form": {"q": "${user()}"}},
        {"method": "POST", "body": "${user()}"},
        {"auth": {"type": "bearer", "token": "${user()}"}},
        {"auth": {"type": "basic", "username": "u", "password": "${user()}"}},
    ],
)
def test_a_function_anywhere_makes_a_request_of_its_own(keys: dict[str, object]) -> None:
    made = scenario(**keys)  # type: ignore[arg-type]
    assert made.constant is None
    one, two = sent(made, 1, 1), sent(made, 2, 1)
    assert one != two
    assert one == sent(made, 1, 1)


def test_requests_of_one_test_share_their_settings_object() -> None:
    made = scenario("/${uuid()}", timeout="2s", expect={"body_contains": "x"})
    one, two = (made.request_for(Exchange(user, 0, None)) for user in (1, 2))
    assert one.settings is two.settings
    assert (one.settings.timeout_s, one.settings.keep_body, one.settings.keep_headers) == (2.0, True, False)


FUNCTIONS = "/${uuid()}/${randint(1, 1000000)}/${choice(a, b, c, d)}/${user()}/${iteration()}"


def test_functions_repeat_with_the_seed_however_many_workers_there_are() -> None:
    # One worker renders all users in turn, three workers interleave theirs: each user sends the same.
    alone = scenario(FUNCTIONS, seed=42)
    one_worker = {user: sent(alone, user, 4) for user in range(1, 7)}
    three_workers = {}
    for rank in (2, 0, 1):
        made = scenario(FUNCTIONS, seed=42)
        exchanges = [Exchange(user, 0, None) for user in range(rank + 1, 7, 3)]
        for iteration in range(1, 5):
            for exchange in reversed(exchanges):
                exchange.iteration = iteration
                request = made.request_for(exchange)
                three_workers.setdefault(exchange.user, []).append(
                    (request.url, tuple(request.headers), request.body)
                )
    assert three_workers == one_worker
    assert len({url for requests in one_worker.values() for url, _, _ in requests}) == 24
    assert [url.split("/")[-2:] for url, _, _ in one_worker[3]] == [["3", str(i)] for i in (1, 2, 3, 4)]


def test_another_seed_or_another_test_gives_other_requests() -> None:
    case = TestCase(name="t", endpoint="/${uuid()}")
    other = TestCase(name="u", endpoint="/${uuid()}")
    suite = TestSuite(name="s", base_url=BASE, tests=[case, other])
    urls = {sent(Scenario(suite, suite.tests[at], at, seed), 1, 1)[0][0] for at in (0, 1) for seed in (1, 2)}
    assert len(urls) == 4


# -- what a transport is asked for --------------------------------------------------------------------------------


@pytest.mark.parametrize("auth", ["digest", "ntlm", "negotiate"])
def test_a_scheme_that_takes_rounds_gets_its_credentials_and_no_header(auth: str) -> None:
    made = scenario(
        auth={"type": auth, "username": "D\\${U}", "password": "${P}"}, variables={"U": "zoë", "P": "a:b"}
    )
    request = made.request_for(Exchange(1, 0, None))
    assert (made.settings.auth_scheme, made.settings.aws_scope) == (auth, "")
    assert (request.credentials, request.headers) == (("D\\zoë", "a:b"), [])
    assert made.constant is request


def test_a_signature_gets_its_keys_and_its_scope() -> None:
    auth = {
        "type": "aws_sigv4",
        "access_key": "${A}",
        "secret_key": "s",
        "region": "eu-${A}",
        "service": "s3",
    }
    made = scenario(auth=auth, variables={"A": "one"})
    request = made.request_for(Exchange(1, 0, None))
    assert (made.settings.auth_scheme, made.settings.aws_scope) == ("aws_sigv4", "eu-one:s3")
    assert (request.credentials, request.headers) == (("one", "s"), [])


@pytest.mark.parametrize(
    "auth", [{"type": "basic", "username": "u", "password": "p"}, {"type": "bearer", "token": "t"}, None]
)
def test_what_is_a_plain_header_is_nothing_for_the_transport(auth: dict[str, str] | None) -> None:
    made = scenario(auth=auth)
    assert (made.settings.auth_scheme, made.request_for(Exchange(1, 0, None)).credentials) == ("", None)


def test_negotiate_without_a_user_takes_the_ticket_cache() -> None:
    made = scenario(auth={"type": "negotiate"})
    assert made.settings.auth_scheme == "negotiate"
    assert made.request_for(Exchange(1, 0, None)).credentials == ("", "")


def test_credentials_may_differ_for_each_user() -> None:
    made = scenario(auth={"type": "digest", "username": "u${user()}", "password": "p"})
    assert made.constant is None
    requests = [made.request_for(Exchange(user, 0, None)) for user in (1, 2)]
    assert [request.credentials for request in requests] == [("u1", "p"), ("u2", "p")]


def test_options_of_the_suite_are_the_settings_of_its_requests() -> None:
    settings = scenario(
        cookies=True,
        follow_redirects=True,
        max_redirects=0,
        compressed=True,
        http_version=2,
        resolve={"API.example.com": "[::1]"},
        dns={"select": "round_robin"},
        local_addresses=["127.0.0.2"],
        preconnect=True,
    ).settings
    assert (settings.cookies, settings.follow_redirects, settings.max_redirects) == (True, True, 0)
    assert (settings.compressed, settings.http_version, settings.preconnect) == (True, "2", True)
    assert (settings.resolve, settings.dns_select) == ({"api.example.com": "::1"}, "round_robin")
    assert (settings.local_addresses, settings.proxy, settings.unix_socket) == (("127.0.0.2",), "", "")
    assert scenario(proxy="http://p:1").settings.proxy == "http://p:1"
    assert scenario(unix_socket="/tmp/perfcore-none").settings.unix_socket == "/tmp/perfcore-none"


def test_a_plain_suite_asks_for_what_the_settings_have_by_default() -> None:
    plain = scenario().settings
    assert plain == RequestSettings(
        method="GET",
        timeout_s=30,
        connect_timeout_s=10,
        keepalive=True,
        tls_verify=True,
        tls_ca=None,
        tls_cert=None,
        tls_key=None,
        keep_body=False,
        keep_headers=False,
    )


def test_retries_name_the_codes_of_what_is_tried_again() -> None:
    assert scenario(retry_on=["reset"]).settings.retry is None
    policy = scenario(retries=3).settings.retry
    assert policy is not None
    kinds = {ERROR_KINDS[code] for code in policy.error_codes}
    assert kinds == {"dns", "refused", "unreachable", "connect_timeout", "tls", "timeout"}
    assert (policy.retries, policy.statuses, policy.backoff_s) == (3, {502, 503}, 0.1)
    policy = scenario(retries=1, retry_on=["closed", "4xx"], retry_backoff=0).settings.retry
    assert policy is not None
    assert {ERROR_KINDS[code] for code in policy.error_codes} == {"closed"}
    assert (policy.statuses, policy.backoff_s) == (set(range(400, 500)), 0)


def test_every_kind_that_a_transport_tells_can_be_tried_again() -> None:
    transport_kinds = ERROR_KINDS[1 : LAST_TRANSPORT_KIND + 1]
    policy = scenario(retries=1, retry_on=list(transport_kinds)).settings.retry
    assert policy is not None
    assert {ERROR_KINDS[code] for code in policy.error_codes} == set(transport_kinds)
