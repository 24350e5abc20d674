"""`perfcore` and `python -m perfcore`: says where it cannot run, answers --version, hands on to the commands."""

import gc
import os
import sys

_DOCKER = (
    'docker build -t perfcore . && docker run --rm --user "$(id -u)" -v "$PWD:/suite" perfcore suite.yaml'
)
# A run with one worker takes some 250 MB of addresses.
_LEAST_ADDRESS_SPACE = 200000000
_INTERRUPTED = 105


def run() -> int:
    """The console script; returns the exit code."""
    _open_standard_streams()
    if sys.version_info < (3, 11):  # noqa: UP036 - `python -m perfcore` in a checkout meets older ones
        sys.stderr.write("perfcore needs Python 3.11 or newer; elsewhere: %s\n" % _DOCKER)  # noqa: UP031
        return 2
    if sys.argv[1:] == ["--version"]:
        return _print_version()
    _write_what_cannot_be_encoded()
    if not sys.platform.startswith("linux"):
        sys.stderr.write("perfcore needs Linux (epoll, fork); elsewhere: %s\n" % _DOCKER)  # noqa: UP031
        return 2
    # A tenth of the start is looking for garbage among modules, and for plugins of a package that needs none.
    gc.set_threshold(100_000)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    try:
        if _has_too_little_memory():
            return _tell_out_of_memory()
        from perfcore.engine.process_title import hide_values

        hide_values(sys.argv[1:])
        from perfcore.cli.main import main

        code = main(sys.argv[1:])
        if code == _INTERRUPTED:
            _ignore_signals()
        # Python looks for garbage as it ends, in all that there is: 30 ms for memory that goes with the process.
        gc.freeze()
        return code
    except KeyboardInterrupt:
        _ignore_signals()
        if sys.stderr is not None:
            sys.stderr.write("perfcore: interrupted\n")
        return _INTERRUPTED
    except MemoryError:
        return _tell_out_of_memory()
    except Exception as error:  # noqa: BLE001 - a bug: it keeps its traceback, without secrets
        if isinstance(error, ImportError) and "failed to map segment" in str(error):
            return _tell_out_of_memory()
        _tell_bug(error)
        return 1


def _ignore_signals():  # type: () -> None
    """A signal that comes twice must not turn the exit code of an interrupted run into that of a killed one."""
    import signal

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _print_version():  # type: () -> int
    from perfcore._version import __version__
    from perfcore.cli.messages import output, tell
    from perfcore.errors import NotSavedError

    try:
        with output() as stdout:
            stdout.write("perfcore " + __version__ + "\n")
    except NotSavedError as error:
        tell(error)
        return int(error.exit_code)
    return 0


def _has_too_little_memory():  # type: () -> bool
    """Whether packages would fail to load, some of them with an end of their own (OpenBLAS)."""
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return limit != resource.RLIM_INFINITY and limit < _LEAST_ADDRESS_SPACE


def _tell_out_of_memory():  # type: () -> int
    from perfcore.cli.messages import OUT_OF_MEMORY, warn

    warn(OUT_OF_MEMORY)
    return 107


def _tell_bug(error):  # type: (Exception) -> None
    try:
        from perfcore.engine.masked_traceback import tell_bug
    except ImportError:
        raise error  # of an installation in which a package is missing; no suite was read  # noqa: B904
    tell_bug(error, sys.argv[1:])


def _write_what_cannot_be_encoded():  # type: () -> None
    """Under an encoding such as ASCII a character that it lacks is written as its escape, and ends no run."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _open_standard_streams():  # type: () -> None
    """See that 0, 1 and 2 are open: closed by whoever started this, their numbers would go to sockets and files."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one


if __name__ == "__main__":
    sys.exit(run())
