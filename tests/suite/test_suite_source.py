"""Where a suite's bytes come from: files, pipes, devices, standard input."""

import io
import os
import threading
from pathlib import Path

import pytest

from perfcore.errors import SuiteError
from perfcore.suite import suite_source
from perfcore.suite.suite_source import LARGEST_FILE, read_path, read_standard_input


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def told(path: str | Path) -> str:
    with pytest.raises(SuiteError) as caught:
        read_path(Path(path))
    (line,) = caught.value.mistakes
    return line


def write_into(path: Path, *chunks: bytes) -> threading.Thread:
    """Opens the pipe as soon as somebody reads it, and writes."""

    def write() -> None:
        with path.open("wb", buffering=0) as stream:
            for chunk in chunks:
                stream.write(chunk)

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def test_a_file_is_read_whole_up_to_the_bound(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    for size in (0, 1, LARGEST_FILE):
        path.write_bytes(b"x" * size)
        assert len(read_path(path)) == size


@pytest.mark.parametrize("size", [LARGEST_FILE + 1, 50_000_000])
def test_a_file_above_the_bound_is_told(tmp_path: Path, size: int) -> None:
    path = tmp_path / "suite.yaml"
    with path.open("wb") as file:
        file.truncate(size)

    assert told(path) == f"{path}: is larger than 5 MB; that is no suite file"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/nowhere/suite.yaml", "cannot be read: No such file or directory"),
        ("/", "is a directory, not a suite file"),
        ("/dev/zero", "is a device, not a suite file; - is standard input"),
        ("/dev/null", "is a device, not a suite file; - is standard input"),
        ("/proc/self/mem", "cannot be read: Input/output error"),
        ("x" * 300, "cannot be read: File name too long"),
    ],
)
def test_what_is_no_file_is_told(path: str, reason: str) -> None:
    assert told(path) == f"{path}: {reason}"


def test_a_file_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> int:
        raise PermissionError(13, "Permission denied")  # root may read everything

    monkeypatch.setattr(suite_source.os, "open", refuse)

    assert told("suite.yaml") == "suite.yaml: cannot be read: Permission denied"


def test_a_pipe_is_read_to_its_end(pipe: Path) -> None:
    writer = write_into(pipe, b"a" * 100_000, b"b")

    assert read_path(pipe) == b"a" * 100_000 + b"b"
    writer.join(30)


def test_a_pipe_whose_writer_writes_nothing_is_empty(pipe: Path) -> None:
    writer = write_into(pipe)

    assert read_path(pipe) == b""
    writer.join(30)


def test_a_pipe_without_a_writer_is_given_up(pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite_source, "LONGEST_WITHOUT_WRITER_S", 0.01)

    assert told(pipe) == f"{pipe}: is a pipe that nobody writes to"


def test_a_writer_may_take_longer_than_the_wait_for_one(pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite_source, "LONGEST_WITHOUT_WRITER_S", 0.01)
    # Open before anybody reads, so the reader never is without a writer.
    end = os.open(pipe, os.O_RDWR)
    writes = threading.Timer(0.1, lambda: (os.write(end, b"late"), os.close(end)))
    writes.start()

    assert read_path(pipe) == b"late"
    writes.join(30)


def test_a_pipe_between_processes_ends_when_its_writer_does() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"of the shell")
    os.close(writer)
    try:
        assert read_path(Path(f"/dev/fd/{reader}")) == b"of the shell"
        assert read_path(Path(f"/dev/fd/{reader}")) == b""
    finally:
        os.close(reader)


def test_an_endless_pipe_is_not_read_to_its_end(pipe: Path) -> None:
    def write_on() -> None:
        try:
            with pipe.open("wb", buffering=0) as stream:
                while True:
                    stream.write(b"x" * 65536)
        except BrokenPipeError:
            pass

    writer = threading.Thread(target=write_on)
    writer.start()

    assert told(pipe).endswith("is larger than 5 MB; that is no suite file")
    writer.join(30)
    assert not writer.is_alive()


def test_standard_input_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_bytes(b"from stdin")
    with path.open() as stream:
        monkeypatch.setattr("sys.stdin", stream)

        assert read_standard_input() == b"from stdin"


def test_standard_input_that_was_replaced_is_read_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("ü"))

    assert read_standard_input() == "ü".encode()


def test_standard_input_that_is_closed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)

    with pytest.raises(SuiteError, match="stdin: is closed"):
        read_standard_input()
