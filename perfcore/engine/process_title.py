"""What `ps` shows of perfcore's processes: no secret.

The command line stays readable in /proc for as long as a process lives, by everybody, and a fork has that of its
parent. So a worker gets a title of its own, and the command's own process one without the values of `--var`. In a
caller's process (the Python interface) only the workers are given titles: the caller's command line is the
caller's. setproctitle writes over the memory of the arguments, and in a worker over that of the environment as
well; it finds them by the environment, so that under an empty one (`env -i`) the arguments stay as they are.
"""

import sys
from collections.abc import Sequence

from perfcore.suite.command_words import PAIR_OPTIONS, masked_words

# Longer ones push aside what else `ps` has to say.
_LONGEST_NAME = 60


def name_worker(index: int, suite_name: str) -> None:
    """Give this worker process its title; the name of the suite is already masked."""
    from setproctitle import setproctitle

    name = suite_name if len(suite_name) <= _LONGEST_NAME else suite_name[: _LONGEST_NAME - 1] + "…"
    setproctitle(f"perfcore: worker {index} of {name}")


def hide_values(arguments: Sequence[str]) -> None:
    """Take the values of all `--var` and `--tag` off this process's title.

    Of all: which of them are secret, the suite will say, and it has not been read yet.
    """
    if not any(word.startswith(PAIR_OPTIONS) for word in arguments):
        return
    from setproctitle import setproctitle

    setproctitle(" ".join(masked_words(sys.orig_argv, lambda name: True)))
