"""The main job on real input: what the result says is what the server saw."""

import json
import stat

import numpy
import pytest
from integration.engine_facts import assert_says_who_carried_it
from integration.runs import ROOT, assert_numbers_add_up, both_engines, one_test, run, suite_of, write_suite
from target_process import running_target

from perfcore.metrics.samples import ROW_BYTES

SEED = """
test_suite:
  name: "API Performance Test Suite"
  base_url: "{url}"
  tests:
    - name: "Get User Profile"
      endpoint: "/users/profile"
      method: "GET"
      headers:
        Authorization: "Bearer ${{TOKEN}}"
      parallel_users: 10
      iterations: 100
      timeout: 30
"""


def test_the_seeds_example_runs_and_every_request_is_accounted_for(tmp_path, target):
    done = run(tmp_path, SEED.format(url=target.url), "--procs", "2", TOKEN="seed-token-1")
    assert done.code == 0, done.stderr
    test = done.test("get_user_profile")
    assert test["total_requests"] == test["successful_requests"] == test["attempts"] == 1000
    assert test["status_codes"] == {"200": 1000}
    assert test["parallel_execution"]["concurrent_users"] == 10
    assert_numbers_add_up(test)
    counted = target.stats()
    assert (counted["requests"], counted["connections"]) == (1000, 10)
    assert done.document["environment"]["workers"] == 2


@pytest.mark.parametrize(("workers", "engine"), [(1, "wire"), (2, "transfer"), (7, "wire"), (7, "transfer")])
def test_attempts_equal_what_the_server_counted_at_full_speed(tmp_path, target, workers, engine):
    suite = one_test(target.url, endpoint="/health", parallel_users=21, duration="400ms")
    done = run(tmp_path, suite, "--procs", str(workers), "--engine", engine)
    test = done.test("test")
    assert_says_who_carried_it(test, engine)
    # All answers are alike; but each user's first is parsed.
    assert engine == "transfer" or test["recognised_share"] > 0.8
    counted = target.stats()
    assert test["attempts"] == test["total_requests"] == counted["requests"] > 500
    assert counted["connections"] == test["connections_opened"] == 21
    assert test["interrupted_requests"] == 0
    assert_numbers_add_up(test)


@both_engines
def test_a_connection_belongs_to_one_user_though_it_thinks(tmp_path, target, engine):
    suite = one_test(target.url, endpoint="/health", parallel_users=30, iterations=5, think_time="20ms")
    done = run(tmp_path, suite, "--procs", "2", "--engine", engine)
    assert target.stats()["connections"] == 30
    assert done.test("test")["connections_opened"] == 30


def test_no_more_workers_get_users_than_there_are_users(tmp_path, target):
    done = run(
        tmp_path, one_test(target.url, endpoint="/health", parallel_users=2, iterations=7), "--procs", "4"
    )
    assert done.code == 0
    assert done.test("test")["total_requests"] == target.stats()["requests"] == 14


@pytest.mark.parametrize(
    ("total", "engine"), [(1, "wire"), (10, "transfer"), (1003, "wire"), (1003, "transfer")]
)
def test_total_iterations_are_shared_by_whoever_is_free_and_none_is_lost(tmp_path, target, total, engine):
    suite = one_test(target.url, endpoint="/health", parallel_users=7, total_iterations=total)
    done = run(tmp_path, suite, "--procs", "3", "--engine", engine)
    assert done.test("test")["total_requests"] == target.stats()["requests"] == total


@both_engines
def test_every_way_to_fail_is_counted_and_the_numbers_add_up(tmp_path, target, engine):
    suite = suite_of(
        target.url,
        'name: flaky, endpoint: "/flaky?rate=0.25", parallel_users: 4, iterations: 25',
        "name: late, endpoint: /delay/2000, parallel_users: 2, iterations: 2, timeout: 100ms",
        'name: wrong, endpoint: /users/7, iterations: 10, expect: {json: {$.id: "8"}}',
        "name: slow, endpoint: /delay/30, iterations: 5, expect: {max_time: 10ms}",
        'name: gone, endpoint: "http://127.0.0.1:1/", iterations: 3',
        "name: moved, endpoint: /status/302, iterations: 2",
    )
    done = run(tmp_path, suite, "--procs", "2", "--engine", engine)
    assert done.code == 99  # some of the tests had no success at all
    results = done.document["results"]
    errors = {key: test["errors"] for key, test in results.items()}
    assert errors == {
        "flaky": {"expectation:status": 25},
        "late": {"timeout": 4},
        "wrong": {"expectation:json": 10},
        "slow": {"expectation:max_time": 5},
        "gone": {"refused": 3},
        "moved": {"expectation:status": 2},
    }
    for test in results.values():
        assert_numbers_add_up(test)
    assert results["late"]["timing"]["min_ms"] >= 100
    assert "p50" in results["late"]["timing"]["censored_percentiles"]
    assert results["wrong"]["checks"] == {
        "status 2xx": {"passed": 10, "failed": 0},
        "json $.id": {"passed": 0, "failed": 10},
    }
    assert results["flaky"]["checks"] == {"status 2xx": {"passed": 75, "failed": 25}}
    assert results["gone"]["checks"] == {"status 2xx": {"passed": 0, "failed": 0}}
    assert results["flaky"]["addresses"] == {"127.0.0.1": {"connections": 4, "requests": 100}}
    assert results["gone"]["addresses"] == {}
    slowest = results["late"]["slowest"]
    assert len(slowest) == 4
    assert all(request["ms"] >= 100 and request["status"] is None for request in slowest)
    moved = results["moved"]["failures"][0]["samples"][0]
    assert "302 → " in moved["detail"]
    assert "expect: {status: 302}" in moved["detail"]
    assert "FAILED" in done.stdout


@both_engines
def test_response_time_is_lag_plus_service_in_every_sample(tmp_path, target, engine):
    suite = one_test(target.url, endpoint="/health", parallel_users=8, iterations=250)
    done = run(tmp_path, suite, "--procs", "2", "--samples", "--engine", engine)
    rows = done.samples()
    assert len(rows) == 2000
    response = rows["done_ns"] - rows["due_ns"]
    service = rows["done_ns"] - rows["issued_ns"]
    lag = rows["issued_ns"] - rows["due_ns"]
    assert (response == lag + service).all()
    assert (lag >= 0).all()
    assert (service > 0).all()
    assert numpy.unique(rows["user"]).tolist() == list(range(1, 9))
    timing = done.test("test")["timing"]
    assert timing["max_ms"] == pytest.approx(response.max() / 1e6, abs=1e-6)
    assert timing["avg_ms"] == pytest.approx(response.mean() / 1e6, abs=1e-6)
    p99 = numpy.quantile(response, 0.99, method="inverted_cdf") / 1e6
    assert timing["percentiles"]["p99"] == pytest.approx(p99, rel=1e-3)


def test_samples_stop_at_their_limit_and_the_result_says_so(tmp_path, target):
    suite = one_test(target.url, endpoint="/health", parallel_users=2, iterations=100)
    done = run(tmp_path, suite, "--samples", "--samples-limit", str(100 * ROW_BYTES))
    assert len(done.samples()) == 100
    assert done.test("test")["total_requests"] == 200
    assert any("--samples-limit" in incident for incident in done.document["incidents"])


@both_engines
def test_known_delays_are_measured(tmp_path, target, engine):
    suite = one_test(target.url, endpoint="/delay/50", parallel_users=2, iterations=5)
    test = run(tmp_path, suite, "--engine", engine).test("test")
    assert test["timing"]["min_ms"] >= 50
    assert 50 <= test["timing"]["percentiles"]["p50"] < 100
    assert 45 <= test["phases"]["ttfb"]["p50"] < 100
    assert test["phases"]["connect"]["count"] == 2
    assert test["phases"]["tls"]["count"] == 0


def test_tests_in_sequence_do_not_overlap_and_close_their_connections(tmp_path, target):
    suite = suite_of(
        target.url,
        "name: one, endpoint: /health, parallel_users: 5, duration: 100ms",
        "name: two, endpoint: /users/1, parallel_users: 5, duration: 100ms",
    )
    done = run(tmp_path, suite, "--samples")
    rows = done.samples()
    assert rows["done_ns"][rows["case"] == 0].max() < rows["issued_ns"][rows["case"] == 1].min()
    assert target.stats()["connections"] == 10


def test_tests_in_parallel_run_at_the_same_time(tmp_path, target):
    suite = suite_of(
        target.url,
        "name: one, endpoint: /health, parallel_users: 5, duration: 200ms",
        "name: two, endpoint: /users/1, parallel_users: 3, iterations: 20, think_time: 5ms",
        mode="parallel",
    )
    done = run(tmp_path, suite, "--samples", "--procs", "2")
    rows = done.samples()
    first, second = rows[rows["case"] == 0], rows[rows["case"] == 1]
    assert first["issued_ns"].min() < second["done_ns"].max()
    assert second["issued_ns"].min() < first["done_ns"].max()
    paths = target.stats()["paths"]
    assert paths == {"/health": len(first), "/users/1": len(second)}
    assert len(second) == 60


@both_engines
def test_duration_ends_the_load_and_what_is_under_way_may_finish(tmp_path, target, engine):
    suite = one_test(target.url, endpoint="/delay/150", parallel_users=4, duration="550ms")
    test = run(tmp_path, suite, "--engine", engine).test("test")
    execution = test["parallel_execution"]
    assert execution["total_duration_ms"] == 550
    assert 0 < execution["drain_ms"] <= 550
    assert test["total_requests"] == 16
    assert test["requests_per_second"] == pytest.approx(
        12 / 0.55, abs=0.01
    )  # three rounds of four before the end, one after it
    assert test["interrupted_requests"] == 0


@both_engines
def test_what_outlasts_graceful_stop_is_cut_and_in_no_total(tmp_path, target, engine):
    suite = one_test(
        target.url, endpoint="/delay/5000", parallel_users=3, duration="100ms", graceful_stop="100ms"
    )
    done = run(tmp_path, suite, "--procs", "2", "--engine", engine)
    test = done.test("test")
    assert test["interrupted_requests"] == 3
    assert test["total_requests"] == test["attempts"] == 0
    assert done.code == 99


def test_what_was_sent_is_what_the_suite_says(tmp_path, target):
    suite = f"""
test_suite:
  name: echo
  base_url: {target.url}
  variables: {{TENANT: acme, N: 7}}
  tests:
    - name: echo
      endpoint: /echo/${{TENANT}}
      method: PUT
      params: {{q: "a b&c", page: 2}}
      headers: {{X-Kind: "${{NAME:-none}}"}}
      json: {{number: "${{N}}", text: "n=${{N}}", price: "$$5"}}
      auth: {{type: basic, username: ada, password: lovelace}}
      expect:
        status: 200
        json:
          $.method: PUT
          $.path: /echo/acme
          $.query: {{equals: {{q: ["a b&c"], page: ["2"]}}}}
          $.body: '{{"number":7,"text":"n=7","price":"$5"}}'
          $.headers[?@[0] == 'Authorization'][1]: Basic YWRhOmxvdmVsYWNl
          $.headers[?@[0] == 'X-Kind'][1]: none
          $.headers[?@[0] == 'Content-Type'][1]: application/json
          $.headers[?@[0] == 'Expect']: {{exists: false}}
"""
    done = run(tmp_path, suite)
    assert done.code == 0, done.stdout + done.stderr


def test_tls_is_verified_and_a_certificate_of_nobodys_is_refused(tmp_path):
    engines = {"auto": "transfer", "1.1": "wire"}
    with running_target("--tls") as target:
        ways = {"known": f"{{ca: {target.ca_file}}}", "unknown": "{}", "unchecked": "{verify: false}"}
        tests = [
            f"name: {way} {engine}, http_version: {version}, tls: {tls}, endpoint: /health, iterations: 3"
            for version, engine in engines.items()
            for way, tls in ways.items()
        ]
        done = run(tmp_path, suite_of(target.url, *tests), "--procs", "1")
    assert done.code == 99
    for engine in engines.values():
        known, unknown, unchecked = (done.test(f"{way}_{engine}") for way in ways)
        for test in (known, unchecked):
            assert_says_who_carried_it(test, engine)
            assert test["successful_requests"] == 3
            assert test["phases"]["tls"]["count"] == 1
        assert unknown["errors"] == {"tls": 3}


def test_json_is_all_there_is_on_stdout(tmp_path, target):
    done = run(tmp_path, one_test(target.url, endpoint="/health", iterations=3), "--json")
    assert json.loads(done.stdout) == done.document
    quiet = run(tmp_path, one_test(target.url, endpoint="/health", iterations=3), "--quiet")
    assert (quiet.stdout, quiet.stderr) == ("", "")


def test_the_result_is_whole_private_and_latest_points_to_it(tmp_path, target):
    done = run(tmp_path, one_test(target.url, endpoint="/health", iterations=3))
    latest = done.results_dir / "latest"
    assert latest.is_symlink()
    saved = latest.resolve()
    assert stat.S_IMODE(saved.stat().st_mode) == 0o700
    assert sorted(path.name for path in saved.iterdir()) == ["results.json", "suite.yaml"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in saved.iterdir()} == {0o600}
    assert [path for path in done.results_dir.iterdir() if path.name.startswith(".")] == []
    # What was run can be run again from beside its result.
    again = run(tmp_path, saved / "suite.yaml")
    assert again.code == 0
    assert target.stats()["requests"] == 6


def test_a_place_that_cannot_be_written_is_told_before_the_first_request(tmp_path, target):
    (tmp_path / "results").write_text("a file where the directory should be")
    done = run(tmp_path, one_test(target.url, endpoint="/health", iterations=3))
    assert done.code == 106
    assert len(done.stderr.splitlines()) == 1
    assert "--results-dir" in done.stderr
    assert target.stats()["requests"] == 0


def test_nothing_secret_is_written_anywhere(tmp_path, target):
    suite = f"""
test_suite:
  name: secrets
  base_url: {target.url}
  secrets: [API_KEY]
  tests:
    - name: guarded
      endpoint: /status/401?api_key=${{API_KEY}}
      headers: {{Authorization: "Bearer hidden-bearer-1", X-Api-Key: "${{API_KEY}}", Cookie: sid=hidden-cookie-2}}
      json: {{password: "${{file:password.txt}}"}}
      method: POST
      iterations: 3
"""
    (tmp_path / "password.txt").write_text("hidden-password-3\n")
    write_suite(tmp_path, suite)
    done = run(tmp_path, suite, "--var", "API_KEY=hidden-key-4", "--samples")
    assert done.code == 99
    written = done.stdout + done.stderr
    for path in (done.results_dir / "latest").resolve().iterdir():
        written += path.read_bytes().decode("latin-1")
    for secret in ("hidden-bearer-1", "hidden-cookie-2", "hidden-password-3", "hidden-key-4"):
        assert secret not in written
    assert "***" in written


def test_every_suite_that_ships_runs(tmp_path):
    """As it ships, but for its longest loads: those are a tenth."""
    suites = sorted((ROOT / "config").glob("*.yaml"))
    assert suites
    for suite in suites:
        text = suite.read_text()
        for long, short in (
            ("duration: 3s", "duration: 300ms"),
            ("total_iterations: 5k", "total_iterations: 500"),
        ):
            assert long in text
            text = text.replace(long, short)
        done = run(tmp_path, text, "--procs", "2")
        assert done.code == 0, done.stderr + done.stdout
        for test in done.document["results"].values():
            assert_numbers_add_up(test)
