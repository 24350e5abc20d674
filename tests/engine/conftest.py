"""Which transport the tests of this folder drive: see `both_engines` in http_harness."""

import pytest

from engine import http_harness


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "engines(*names, reason): run through each of these engines; the mark nearest to the test counts",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    mark = metafunc.definition.get_closest_marker("engines")
    if mark is not None:
        metafunc.parametrize("engine", mark.args, indirect=True)


@pytest.fixture(autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the engine that `open_client` opens in this test."""
    name: str = getattr(request, "param", "transfer")
    monkeypatch.setattr(http_harness, "engine_under_test", name)
    return name
