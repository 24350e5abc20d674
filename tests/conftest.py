"""One embedded target for all tests that need a server; the `debian` marker; and what tests started behind nohup need.

A test that needs programs of Debian packages skips where one is missing; `make test-full` sets
PERFCORE_REQUIRE_DEBIAN=1, and the test fails there instead.
"""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator

import pytest
from target_process import TargetProcess, running_target

# Where servers lie; the PATH of an ordinary user may leave it out.
_PLACES = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"


def pytest_configure(config: pytest.Config) -> None:
    """Behind nohup or `&` the tests ignore signals, and so would every program that they start.

    A handler that does nothing is the same to the tests, and is not inherited.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    # A calibration of whoever runs the tests is none of theirs, for every program that they start as well.
    folder = tempfile.mkdtemp(prefix="perfcore-tests-cache-")
    os.environ["XDG_CACHE_HOME"] = folder
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    programs = [program for marker in item.iter_markers("debian") for program in marker.args]
    missing = [program for program in programs if shutil.which(program, path=_PLACES) is None]
    if not missing:
        return
    reason = f"needs {', '.join(missing)} (see .ci/run for the Debian packages)"
    if os.environ.get("PERFCORE_REQUIRE_DEBIAN") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared_target() -> Iterator[TargetProcess]:
    with running_target() as target:
        yield target


@pytest.fixture
def target(shared_target: TargetProcess) -> TargetProcess:
    """With no connection, and its counters at zero."""
    shared_target.stats_when_closed()
    shared_target.reset()
    return shared_target
