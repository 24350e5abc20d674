"""The `debian` marker: a test that needs programs of Debian packages skips where one is missing.

`make test-full` sets PERFCORE_REQUIRE_DEBIAN=1, and the test fails there instead.
"""

import os
import shutil

import pytest

# Where servers lie; the PATH of an ordinary user may leave it out.
_PLACES = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"


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
