"""Names with several addresses of which a run met one."""

import threading

import pytest

from perfcore.engine.name_addresses import names_of_several
from perfcore.engine.plan import plan_run
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import TestSuite

KNOWN = {
    "many.test": ("192.0.2.1", "192.0.2.2"),
    "one.test": ("192.0.2.3",),
    "both.test": ("192.0.2.4", "2001:db8::4"),
    "six.test": ("2001:db8::1", "2001:db8::2", "192.0.2.5"),
}


def look_up(host, _port):
    return KNOWN.get(host, ())


def plan_of(url, **keys):
    suite = TestSuite(name="s", base_url="http://h", tests=[TestCase(name="t", endpoint=url, **keys)])
    return plan_run(suite, 1).cases[0]


@pytest.mark.parametrize(
    ("url", "used", "keys", "names"),
    [
        ("http://many.test/", ["192.0.2.1"], {}, ("many.test",)),
        ("https://many.test:8443/a", ["192.0.2.2"], {}, ("many.test",)),
        ("http://many.test/", ["192.0.2.1", "192.0.2.2"], {}, ()),
        ("http://many.test/", [], {}, ()),
        ("http://many.test/", ["192.0.2.9"], {}, ()),
        ("http://one.test/", ["192.0.2.3"], {}, ()),
        ("http://both.test/", ["192.0.2.4"], {}, ()),
        ("http://six.test/", ["2001:db8::2"], {}, ("six.test",)),
        ("http://six.test/", ["192.0.2.5"], {}, ()),
        ("http://192.0.2.1/", ["192.0.2.1"], {}, ()),
        ("http://[2001:db8::1]/", ["2001:db8::1"], {}, ()),
        ("http://nobody.test/", ["192.0.2.1"], {}, ()),
        ("http://many.test/", ["192.0.2.1"], {"resolve": {"many.test": "192.0.2.1"}}, ()),
        ("http://many.test/", ["192.0.2.1"], {"proxy": "http://127.0.0.1:3128"}, ()),
    ],
)
def test_a_name_is_told_where_its_figures_are_of_one_of_several_servers(url, used, keys, names):
    assert names_of_several([(plan_of(url, **keys), {address: {} for address in used})], look_up) == names


def test_a_name_of_two_tests_is_looked_up_once_and_told_once():
    asked = []
    plan = plan_of("http://many.test/")
    tests = [(plan, {"192.0.2.1": {}})] * 2
    assert names_of_several(tests, lambda host, port: asked.append(host) or KNOWN[host]) == ("many.test",)
    assert asked == ["many.test"]


def test_a_resolver_that_does_not_answer_keeps_nobody_waiting(monkeypatch):
    monkeypatch.setattr("perfcore.engine.name_addresses._LONGEST_LOOK_UP_S", 0.05)
    over = threading.Event()
    tests = [(plan_of("http://many.test/"), {"192.0.2.1": {}})]
    assert names_of_several(tests, lambda *_: (over.wait(), KNOWN["many.test"])[1]) == ()
    over.set()
