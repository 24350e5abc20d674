"""The calibration in the cache directory: whole and private, and no trouble to a run whatever lies there."""

import errno
import os
import stat
from pathlib import Path

import pytest
from metrics.test_calibration import HERE, WHOLE

from perfcore.errors import NotSavedError
from perfcore.report import calibration_file
from perfcore.report.calibration_file import (
    cache_directory,
    prove_place,
    save_calibration,
    stored_calibration,
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where it will lie; nothing is there yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "perfcore"


def put(cache: Path, content: bytes) -> Path:
    cache.mkdir(parents=True)
    path = cache / "calibration.json"
    path.write_bytes(content)
    return path


def test_what_was_saved_is_found_and_is_its_owners_alone(cache: Path) -> None:
    path = save_calibration(WHOLE, "<svg/>")
    assert path == cache / "calibration.json"
    assert stored_calibration(HERE).calibration == WHOLE
    assert (cache / "calibration.svg").read_text() == "<svg/>"
    assert {stat.S_IMODE(entry.stat().st_mode) for entry in cache.iterdir()} == {0o600}
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700


def test_the_place_is_that_of_the_xdg_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_directory() == Path("/somewhere/perfcore")
    for ignored in ("relative/path", ""):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert cache_directory() == Path("/home/me/.cache/perfcore")


def test_without_one_there_is_nothing_to_say(cache: Path) -> None:
    assert stored_calibration(HERE) == calibration_file.Stored()


def test_one_of_another_machine_is_not_used_and_it_is_told_why(cache: Path) -> None:
    save_calibration(WHOLE, "<svg/>")
    stored = stored_calibration({**HERE, "kernel": "6.2"})
    assert stored.calibration is None
    assert stored.reason == (
        "the calibration of 2026-11-23 is of another machine or version (kernel 6.1, here 6.2); "
        "`perfcore calibrate` makes a new one"
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "it is no JSON"),
        (b'{"version": 1', "it is no JSON"),
        (b"\xff\xfe", "it is no JSON"),
        (b"[]", "it is no object"),
        (b'{"version": 99}', "version is 99, and this perfcore reads 1"),
        (b" " * 1_000_001, "it is too long"),
    ],
)
def test_a_broken_file_is_told_in_a_line_and_not_used(cache: Path, content: bytes, told: str) -> None:
    path = put(cache, content)
    reason = f"{path} is broken ({told}); `perfcore calibrate` makes a new one"
    assert stored_calibration(HERE) == calibration_file.Stored(reason=reason)


def test_what_is_no_file_is_told_and_keeps_nobody_waiting(cache: Path) -> None:
    cache.mkdir(parents=True)
    path = cache / "calibration.json"
    os.mkfifo(path)
    assert "it is no regular file" in str(stored_calibration(HERE).reason)
    path.unlink()
    path.mkdir()
    assert str(stored_calibration(HERE).reason).startswith(f"{path} ")
    path.rmdir()
    path.symlink_to(path)
    assert "cannot be read (Too many levels of symbolic links)" in str(stored_calibration(HERE).reason)


def test_a_place_that_is_no_directory_is_refused_before_anything_is_measured(cache: Path) -> None:
    cache.parent.write_text("a file")
    with pytest.raises(NotSavedError, match=r"Not a directory: nothing was measured; .*XDG_CACHE_HOME"):
        prove_place()
    assert stored_calibration(HERE) == calibration_file.Stored()


def test_a_place_that_was_proved_is_as_it_was(cache: Path) -> None:
    assert prove_place() == cache
    assert not cache.parent.exists()
    path = put(cache, b"as it was")
    assert prove_place() == cache
    assert (list(cache.iterdir()), path.read_bytes()) == ([path], b"as it was")


@pytest.mark.parametrize("name", ["calibration.json", "calibration.svg"])
def test_a_directory_in_the_place_of_a_file_is_told_before_anything_is_measured(
    cache: Path, name: str
) -> None:
    (cache / name).mkdir(parents=True)
    with pytest.raises(NotSavedError, match=rf"{name}: Is a directory: nothing was measured"):
        prove_place()
    assert [entry.name for entry in cache.iterdir()] == [name]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_file_of_another_users_in_a_sticky_place_is_told_before_anything_is_measured(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(cache, b"theirs")
    os.chown(path, 12345, -1)
    os.chown(cache, 12345, -1)
    cache.chmod(0o1777)
    prove_place()  # root may
    monkeypatch.setattr(calibration_file.os, "geteuid", lambda: 54321)
    with pytest.raises(NotSavedError, match="Operation not permitted: nothing was measured"):
        prove_place()


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("cause", [OSError(errno.EBUSY, "busy"), KeyboardInterrupt()])
@pytest.mark.parametrize("has_links", [True, False])
def test_when_the_second_file_is_refused_the_first_is_as_it_was(
    cache: Path, monkeypatch: pytest.MonkeyPatch, is_first: bool, cause: BaseException, has_links: bool
) -> None:
    if not is_first:
        save_calibration(WHOLE, "<svg>old</svg>")
    before = {entry.name: entry.read_bytes() for entry in cache.iterdir()} if cache.exists() else None
    plain_rename = os.rename

    def rename(old: str, new: str, **where: int) -> None:
        if new == "calibration.json" and ".tmp-" in old:
            raise cause
        plain_rename(old, new, **where)

    def no_link(*_names: str, **_where: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(calibration_file.os, "rename", rename)
    if not has_links:
        monkeypatch.setattr(calibration_file.os, "link", no_link)
    with pytest.raises(NotSavedError if isinstance(cause, OSError) else KeyboardInterrupt):
        save_calibration(WHOLE, "<svg>new</svg>")
    after = {entry.name: entry.read_bytes() for entry in cache.iterdir()} if cache.exists() else None
    assert after == before


@pytest.mark.parametrize("fails_at", [1, 2])
def test_a_disk_that_fills_up_leaves_the_old_one_and_nothing_else(
    cache: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    save_calibration(WHOLE, "<svg>old</svg>")
    before = {entry.name: entry.read_bytes() for entry in cache.iterdir()}
    written = 0

    def fill_up(descriptor: int, content: bytes) -> None:
        nonlocal written
        written += 1
        os.write(descriptor, content[:10])
        if written == fails_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(calibration_file, "write_all", fill_up)
    with pytest.raises(NotSavedError, match="No space left on device: the calibration was not saved"):
        save_calibration(WHOLE, "<svg>new</svg>")
    assert {entry.name: entry.read_bytes() for entry in cache.iterdir()} == before


def test_a_leftover_of_a_killed_process_is_no_hindrance(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / f".calibration.json.tmp-{os.getpid()}").write_text("half")
    save_calibration(WHOLE, "<svg/>")
    assert stored_calibration(HERE).calibration == WHOLE
    assert sorted(entry.name for entry in cache.iterdir()) == ["calibration.json", "calibration.svg"]
