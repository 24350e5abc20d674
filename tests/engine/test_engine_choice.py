"""What the wire path serves, and what it leaves to libcurl transfers."""

import pytest
import yaml

from perfcore.engine.engine_choice import check_engine, choose_engine, wire_lacks
from perfcore.errors import UsageError
from perfcore.suite.config_loader import load_suite
from perfcore.suite.test_suite import TestSuite


def suite_of(*cases: dict[str, object], base_url: str = "http://127.0.0.1:1", **keys: object) -> TestSuite:
    named = [{"name": f"t{number}", "endpoint": "/", **case} for number, case in enumerate(cases, 1)]
    return TestSuite(name="s", base_url=base_url, tests=named, **keys)  # type: ignore[arg-type]


def lack_of(base_url: str = "http://127.0.0.1:1", **case: object) -> str | None:
    suite = suite_of(case, base_url=base_url)
    return wire_lacks(suite, suite.tests[0])


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"method": "HEAD"},
        {"method": "POST", "json": {"a": 1}},
        {"headers": {"Connection": "close", "X-A": "b"}},
        {"headers": {"connection": "Keep-Alive"}},
        {"keepalive": False},
        {"cookies": True},
        {"http_version": "1.1"},
        {"auth": {"type": "basic", "username": "a", "password": "b"}},
        {"auth": {"type": "bearer", "token": "t"}},
        {"compressed": True},
        {"expect": {"body_contains": "x"}},
        {"retries": 2},
        {"endpoint": "/${uuid()}"},
        {"proxy": "socks5://127.0.0.1:1"},
        {"resolve": {"a.example": "127.0.0.1"}, "endpoint": "http://a.example/"},
        {"unix_socket": "/tmp/s"},
        {"preconnect": True},
        {"endpoint": "https://127.0.0.1/", "http_version": "1.1"},
        {"endpoint": "http://[::1]/"},
        {"endpoint": "http://10.example/"},
    ],
)
def test_plain_http_1_1_goes_over_the_wire(case: dict[str, object]) -> None:
    assert lack_of(**case) is None


@pytest.mark.parametrize(
    ("case", "word"),
    [
        ({"endpoint": "https://127.0.0.1/"}, "HTTP/2 may be negotiated"),
        ({"endpoint": "HTTPS://127.0.0.1/"}, "HTTP/2 may be negotiated"),
        ({"http_version": "2"}, "http_version 2"),
        ({"http_version": "2-prior-knowledge"}, "http_version 2-prior-knowledge"),
        ({"follow_redirects": True}, "follow_redirects"),
        ({"auth": {"type": "digest", "username": "a", "password": "b"}}, "auth digest"),
        ({"compressed": True, "expect": {"body_contains": "x"}}, "compressed"),
        ({"proxy": "http://127.0.0.1:1"}, "proxy"),
        ({"headers": {"Transfer-Encoding": "chunked"}}, "Transfer-Encoding"),
        ({"headers": {"EXPECT": "100-continue"}}, "EXPECT"),
        ({"headers": {"Connection": "upgrade"}}, "Connection: upgrade"),
        ({"endpoint": "http://me:pa@127.0.0.1/"}, "user name"),
        ({"endpoint": "http://127.1/"}, "spells"),
        ({"endpoint": "http://0x7f000001/"}, "spells"),
        ({"endpoint": "http://2130706433/"}, "spells"),
    ],
)
def test_what_is_libcurls_is_left_to_transfers_with_its_reason(case: dict[str, object], word: str) -> None:
    told = lack_of(**case)
    assert told is not None
    assert word in told


def test_the_embedded_target_is_served_by_the_wire_path() -> None:
    assert lack_of("embedded") is None


def test_an_address_that_a_template_decides_is_left_to_transfers() -> None:
    suite = suite_of({"endpoint": "http://${choice('a', 'b')}/"})
    told = wire_lacks(suite, suite.tests[0])
    assert told == "its address is known only when it is sent"


@pytest.mark.parametrize(
    ("wish", "chosen"), [("auto", ["wire", "transfer"]), ("transfer", ["transfer", "transfer"])]
)
def test_each_test_has_an_engine_of_its_own(wish: str, chosen: list[str]) -> None:
    suite = suite_of({}, {"follow_redirects": True})
    check_engine(suite, wish)  # type: ignore[arg-type]
    assert [choose_engine(suite, case, wish) for case in suite.tests] == chosen  # type: ignore[arg-type]


def test_a_wish_for_the_wire_that_cannot_be_met_names_every_test_and_the_way_out() -> None:
    suite = suite_of({"follow_redirects": True}, {}, {"http_version": "2"})
    with pytest.raises(UsageError) as told:
        check_engine(suite, "wire")
    text = str(told.value)
    assert "'t1': follow_redirects" in text
    assert "'t3': http_version 2" in text
    assert "'t2'" not in text
    assert "--engine auto" in text


def test_a_wish_for_the_wire_that_can_be_met_is_met() -> None:
    suite = suite_of({}, {"cookies": True})
    check_engine(suite, "wire")
    assert [choose_engine(suite, case, "wire") for case in suite.tests] == ["wire", "wire"]


@pytest.mark.parametrize(
    ("endpoint", "variables", "engine"),
    [
        ("/users/${randint(1, 9)}", {}, "wire"),
        ("${API}/users/${randint(1, 9)}", {"API": "/v1"}, "wire"),
        ("${API}", {"API": "http://127.0.0.2:8000/x"}, "wire"),
        ("${API}", {"API": "https://127.0.0.2/x"}, "transfer"),
        ("http://127.0.0.2:8000/${uuid()}", {}, "wire"),
        ("http://127.0.0.2:800${randint(0, 9)}/", {}, "transfer"),
        ("${choice('http://a/x', '/y')}", {}, "transfer"),
        ("htt${choice('p', 'ps')}://a/x", {}, "transfer"),
        ("users/${uuid()}", {}, "wire"),
        ("u${uuid()}", {}, "transfer"),
    ],
)
def test_an_endpoint_that_may_lead_elsewhere_goes_over_transfers(
    endpoint: str, variables: dict[str, str], engine: str
) -> None:
    text = yaml.safe_dump(
        {
            "test_suite": {
                "name": "S",
                "base_url": "http://127.0.0.1:9",
                "variables": variables,
                "tests": [{"name": "A", "endpoint": endpoint}],
            }
        }
    )
    suite = load_suite("-", stdin=text.encode(), environ={})
    assert choose_engine(suite, suite.tests[0], "auto") == engine
