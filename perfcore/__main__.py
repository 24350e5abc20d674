"""`perfcore` and `python -m perfcore`: says where it cannot run, answers --version, hands on to the commands."""

import os
import sys

_DOCKER = (
    'docker build -t perfcore . && docker run --rm --user "$(id -u)" -v "$PWD:/suite" perfcore suite.yaml'
)


def run() -> int:
    """The console script; returns the exit code."""
    _open_standard_streams()
    if sys.version_info < (3, 11):  # noqa: UP036 - `python -m perfcore` in a checkout meets older ones
        sys.stderr.write("perfcore needs Python 3.11 or newer; elsewhere: %s\n" % _DOCKER)  # noqa: UP031
        return 2
    if sys.argv[1:] == ["--version"]:
        from perfcore._version import __version__

        print("perfcore " + __version__)
        return 0
    if not sys.platform.startswith("linux"):
        sys.stderr.write("perfcore needs Linux (epoll, fork); elsewhere: %s\n" % _DOCKER)  # noqa: UP031
        return 2
    try:
        from perfcore.cli.main import main

        return main(sys.argv[1:])
    except KeyboardInterrupt:
        if sys.stderr is not None:
            sys.stderr.write("perfcore: interrupted\n")
        return 105


def _open_standard_streams():  # type: () -> None
    """See that 0, 1 and 2 are open: closed by whoever started this, their numbers would go to sockets and files."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one


if __name__ == "__main__":
    sys.exit(run())
