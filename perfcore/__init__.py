"""perfcore loads an HTTP API from every core and says how fast it answered - and how far to trust that.

    from perfcore import TestRunner, TestCase

The public names are handed on from their rooms when first used (PEP 562), so that `import perfcore` costs
nothing and `perfcore --version` needs neither numpy nor libcurl.
"""

from typing import TYPE_CHECKING, Any

from perfcore._version import __version__

if TYPE_CHECKING:
    from perfcore.engine.test_runner import TestRunner
    from perfcore.errors import NotSavedError, PerfcoreError, SuiteError, UsageError
    from perfcore.metrics.test_result import SuiteResult, TestResult
    from perfcore.suite.config_loader import load_suite
    from perfcore.suite.test_case import TestCase
    from perfcore.suite.test_suite import TestSuite

_HOME = {
    "TestRunner": "perfcore.engine.test_runner",
    "TestCase": "perfcore.suite.test_case",
    "TestSuite": "perfcore.suite.test_suite",
    "load_suite": "perfcore.suite.config_loader",
    "SuiteResult": "perfcore.metrics.test_result",
    "TestResult": "perfcore.metrics.test_result",
    "PerfcoreError": "perfcore.errors",
    "SuiteError": "perfcore.errors",
    "UsageError": "perfcore.errors",
    "NotSavedError": "perfcore.errors",
}

__all__ = [
    "NotSavedError",
    "PerfcoreError",
    "SuiteError",
    "SuiteResult",
    "TestCase",
    "TestResult",
    "TestRunner",
    "TestSuite",
    "UsageError",
    "__version__",
    "load_suite",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'perfcore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
