"""The embedded target as the supervisor starts it."""

import os
import resource
import urllib.request

import pytest

from perfcore.engine import embedded_target
from perfcore.engine.embedded_target import EmbeddedTarget
from perfcore.errors import SetupFailedError


def test_it_starts_though_a_thousand_descriptors_are_open() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1200:
        pytest.skip("the hard limit of descriptors is below 1,200")
    resource.setrlimit(resource.RLIMIT_NOFILE, (1200, hard))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        target = EmbeddedTarget()
        try:
            with urllib.request.urlopen(f"{target.url}/health", timeout=20) as answer:
                assert answer.status == 200
        finally:
            target.stop()
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (
            "import sys, time; sys.stdout.write('listen'); sys.stdout.flush(); time.sleep(60)",
            "it said nothing within",
        ),
        ("import sys; sys.stderr.write('x' * 200_000 + '\\n'); sys.exit(3)", "xxxx"),
        ("import sys; sys.stdout.write('y' * 200_000)", "it said nothing within"),
    ],
)
def test_a_server_that_does_not_announce_itself_is_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path, script: str, reason: str
) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!{embedded_target.sys.executable}\n{script}\n")
    program.chmod(0o700)
    monkeypatch.setattr(embedded_target.sys, "executable", str(program))
    monkeypatch.setattr(embedded_target, "START_TIMEOUT_S", 2.0)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(SetupFailedError, match=reason):
        EmbeddedTarget()
    assert len(os.listdir("/proc/self/fd")) == before
