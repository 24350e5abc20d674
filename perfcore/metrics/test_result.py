"""What a run found, as Python sees it: the document of results.json with attributes.

The document itself (its keys are `result-format` of the documentation) is the single source: attributes are
looked up in it, so nothing can be in the file and missing here, or differ between the two.

Schema history: 1 - the first.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1


class Record(dict[str, Any]):
    """A JSON object whose keys can also be read as attributes: `result.timing.percentiles["p95"]`."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no {name!r} here, only {', '.join(self) or 'nothing'}") from None


def as_record(value: Any) -> Any:
    """The same JSON value with a Record for every object in it; a Record is taken as it is."""
    if isinstance(value, Record):
        return value
    if isinstance(value, Mapping):
        return Record((key, as_record(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return [as_record(item) for item in value]
    return value


class TestResult:
    """One test's figures. Everything under its key in results.json is an attribute, the usual ones by short names."""

    __test__ = False  # pytest would collect it for its name

    def __init__(self, key: str, document: Mapping[str, Any]) -> None:
        self.key = key
        self.document: Record = as_record(document)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "document":
            raise AttributeError(name)
        return getattr(self.document, name)

    def __repr__(self) -> str:
        return f"<TestResult {self.key}: {self.total_requests} requests, {self.failed_requests} failed>"

    @property
    def percentiles(self) -> Mapping[str, float | None]:
        """Response time in milliseconds: `percentiles["p95"]`. None where there are too few samples to say."""
        percentiles: Mapping[str, float | None] = self.document.timing.percentiles
        return percentiles

    @property
    def avg_response_time(self) -> float | None:
        """Milliseconds; None without any sample."""
        average: float | None = self.document.timing.avg_ms
        return average

    @property
    def p50(self) -> float | None:
        return self.percentiles["p50"]

    @property
    def p90(self) -> float | None:
        return self.percentiles["p90"]

    @property
    def p95(self) -> float | None:
        return self.percentiles["p95"]

    @property
    def p99(self) -> float | None:
        return self.percentiles["p99"]

    @property
    def error_rate(self) -> float:
        """Failed over all requests, 0 to 1; 0 when there was no request."""
        total = int(self.document.total_requests)
        return int(self.document.failed_requests) / total if total else 0.0


class SuiteResult:
    """A whole run. `results[key]` is one test; with a single test its figures are attributes here as well.

    A test is found by its result key or by its name.
    `results_dir` is where the run was saved, None when it was not.
    """

    def __init__(self, document: Mapping[str, Any], results_dir: Path | None = None) -> None:
        self.document: Record = as_record(document)
        self.results_dir = results_dir
        self.results: dict[str, TestResult] = {
            key: TestResult(key, test) for key, test in self.document["results"].items()
        }

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("document", "results"):
            raise AttributeError(name)
        if name in self.document:
            return self.document[name]
        if len(self.results) == 1:
            (only,) = self.results.values()
            return getattr(only, name)
        raise AttributeError(
            f"a result of {len(self.results)} tests has no {name!r}; one test's is results[KEY].{name}, "
            f"with KEY one of {', '.join(self.results)}"
        )

    def __getitem__(self, key: str) -> TestResult:
        if key in self.results:
            return self.results[key]
        for test in self.results.values():
            if test.document.get("name") == key:
                return test
        raise KeyError(f"there is no test {key!r}, only {', '.join(self.results) or 'none at all'}")

    def __iter__(self) -> Iterator[TestResult]:
        return iter(self.results.values())

    def __repr__(self) -> str:
        return f"<SuiteResult {self.document['test_suite']!r}: {self.document['verdict']}, {len(self.results)} tests>"

    @property
    def passed(self) -> bool:
        return bool(self.document["verdict"] == "passed")
