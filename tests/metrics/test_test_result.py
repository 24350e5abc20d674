"""A result as Python reads it."""

import copy
import json
import pickle

import pytest

from perfcore.metrics.test_result import Record, SuiteResult, TestResult


def document_of_a_test(name="Profile", requests=10, failed=1, p95=12.5):
    return {
        "name": name,
        "total_requests": requests,
        "failed_requests": failed,
        "timing": {
            "avg_ms": 10.0,
            "percentiles": {"p50": 9.0, "p90": 12.0, "p95": p95, "p99": 13.0, "p99_9": None},
        },
        "failures": [{"kind": "timeout", "samples": [{"at_s": 1.0}]}],
    }


def suite_document(*names):
    return {
        "test_suite": "Suite",
        "verdict": "passed",
        "exit_code": 0,
        "results": {name.lower(): document_of_a_test(name) for name in names},
    }


def test_everything_in_the_document_is_an_attribute():
    result = TestResult("profile", document_of_a_test())
    assert result.key == "profile"
    assert result.total_requests == 10
    assert result.timing.percentiles["p95"] == 12.5
    assert result.timing.percentiles.p95 == 12.5
    assert result.failures[0].samples[0].at_s == 1.0


def test_the_usual_figures_have_short_names():
    result = TestResult("profile", document_of_a_test())
    assert (result.p50, result.p90, result.p95, result.p99) == (9.0, 12.0, 12.5, 13.0)
    assert result.percentiles["p99_9"] is None
    assert result.avg_response_time == 10.0
    assert result.error_rate == 0.1


def test_no_request_is_no_error_rate():
    assert TestResult("profile", document_of_a_test(requests=0, failed=0)).error_rate == 0.0


def test_a_wrong_name_is_told_with_the_right_ones():
    result = TestResult("profile", document_of_a_test())
    with pytest.raises(AttributeError, match=r"no 'latency' here, only name, total_requests, .*timing"):
        _ = result.latency
    assert not hasattr(result, "latency")


def test_a_single_test_lends_its_figures_to_the_suite():
    result = SuiteResult(suite_document("Profile"))
    assert result.total_requests == 10
    assert result.p95 == 12.5
    assert result.error_rate == 0.1
    assert result.timing.avg_ms == 10.0
    assert result.verdict == "passed"
    assert result.passed


def test_with_several_tests_the_error_names_them():
    result = SuiteResult(suite_document("Profile", "Login"))
    assert result["login"].name == "Login"
    assert [test.key for test in result] == ["profile", "login"]
    with pytest.raises(
        AttributeError, match=r"a result of 2 tests has no 'p95'.*results\[KEY\]\.p95.*profile, login"
    ):
        _ = result.p95


def test_a_test_is_found_by_its_key_or_its_name_and_a_wrong_one_is_told_with_the_keys():
    result = SuiteResult(suite_document("Profile", "Login"))
    assert result["Login"] is result["login"]
    with pytest.raises(KeyError, match="there is no test 'Logout', only profile, login"):
        _ = result["Logout"]


def test_only_a_passed_verdict_is_passed():
    for verdict in ("failed", "incomplete", "interrupted", "aborted", "invalid"):
        assert not SuiteResult({**suite_document("Profile"), "verdict": verdict}).passed


def test_a_test_is_the_same_object_in_the_suite_and_by_itself():
    result = SuiteResult(suite_document("Profile"))
    result["profile"].timing["avg_ms"] = 11.0
    assert result.document.results.profile.timing.avg_ms == 11.0


def test_the_document_given_is_not_touched():
    document = suite_document("Profile")
    SuiteResult(document)["profile"].timing["avg_ms"] = 11.0
    assert document["results"]["profile"]["timing"]["avg_ms"] == 10.0


def test_results_can_be_copied_pickled_and_written_as_json():
    document = suite_document("Profile", "Login")
    result = SuiteResult(document)
    for again in (copy.deepcopy(result), pickle.loads(pickle.dumps(result))):
        assert again.document == document
        assert again["login"].p95 == 12.5
    assert json.loads(json.dumps(result.document)) == document
    assert isinstance(copy.deepcopy(result.document).results, Record)


def test_a_result_shows_itself_in_one_line():
    result = SuiteResult(suite_document("Profile"))
    assert repr(result) == "<SuiteResult 'Suite': passed, 1 tests>"
    assert repr(result["profile"]) == "<TestResult profile: 10 requests, 1 failed>"
