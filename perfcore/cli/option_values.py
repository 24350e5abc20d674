"""Readers of the options' values: each takes the text that was given, and says in a line why it is none.

They raise ArgumentTypeError, which argparse tells with the name of the option and the parser with that of its
environment twin. As the parser they import neither numpy nor libcurl.
"""

import argparse
import difflib

# More are a slip, and would starve each other of memory long before they are started.
MOST_PROCS = 1024
HIGHEST_SEED = 2**63 - 1
# A complaint stays a line however long the value is that it quotes.
LONGEST_QUOTED = 60
# Secrets are not so short; longer words that follow an option which nobody knows may be its value.
LONGEST_TOLD = 3
# Of a run of `calibrate`: with shorter ones the lowest rate has no request, longer ones are a slip.
SHORTEST_RUN_S, LONGEST_RUN_S = 0.2, 600
_LONGEST_COMPLAINT = 400
_MOST_DIGITS = 18  # int() refuses thousands of them in words of its own


def quoted(text: str) -> str:
    return repr(text if len(text) <= LONGEST_QUOTED else text[: LONGEST_QUOTED - 1] + "…")


def short_complaint(text: str) -> str:
    """A complaint that stays a line however much of the command line it quotes."""
    return text if len(text) <= _LONGEST_COMPLAINT else text[: _LONGEST_COMPLAINT - 1] + "…"


def _whole_number(text: str, highest: int) -> int | None:
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(highest))
    return int(text) if is_number and int(text) <= highest else None


def read_procs(text: str) -> int | str:
    number = _whole_number(text, MOST_PROCS)
    if text != "auto" and not number:
        raise argparse.ArgumentTypeError(
            f"{quoted(text)} is not a number of processes; give 1 to {MOST_PROCS:,}, or auto"
        )
    return number or text


def read_seed(text: str) -> int:
    number = _whole_number(text, HIGHEST_SEED)
    if number is None:
        raise argparse.ArgumentTypeError(
            f"{quoted(text)} is not a seed; give a whole number from 0 to {HIGHEST_SEED}"
        )
    return number


def read_pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        # It may be the value of a secret, whose name was forgotten or ends in a space.
        told = repr(text) if len(text) <= LONGEST_TOLD else "what was given"
        raise argparse.ArgumentTypeError(f"{told} is not NAME=VALUE")
    return name, value


def read_environment_name(text: str) -> str:
    if "=" in text:
        name = text.partition("=")[0]
        raise argparse.ArgumentTypeError(
            f"{quoted(name + '=…')}: that is --var NAME=VALUE; --env names an environment of the suite"
        )
    return text


def read_size(text: str) -> int:
    from perfcore.units import parse_size

    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def read_number_to_keep(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > _MOST_DIGITS:
        raise argparse.ArgumentTypeError(
            f"{quoted(text)} is not a number of results; give a whole number from 0"
        )
    return int(text)


def read_engine(text: str) -> str:
    names = ("auto", "wire", "transfer")
    if text in names:
        return text
    close = difflib.get_close_matches(text[:LONGEST_QUOTED], names, n=1)
    hint = f"did you mean {close[0]}?" if close else f"write {', '.join(names[:-1])} or {names[-1]}"
    raise argparse.ArgumentTypeError(f"{quoted(text)} is no engine; {hint}")


def read_calibrated_engines(text: str) -> str:
    names = ("wire", "transfer", "both")
    # The twin serves `run` as well, where it may be auto.
    if text in (*names, "auto"):
        return text
    close = difflib.get_close_matches(text[:LONGEST_QUOTED], names, n=1)
    hint = f"did you mean {close[0]}?" if close else "write wire, transfer or both"
    raise argparse.ArgumentTypeError(f"{quoted(text)} is no engine; {hint}")


def read_run_seconds(text: str) -> float:
    from perfcore.units import parse_duration

    try:
        seconds = parse_duration(text)
    except ValueError:
        seconds = 0.0
    if not SHORTEST_RUN_S <= seconds <= LONGEST_RUN_S:
        raise argparse.ArgumentTypeError(
            f"{quoted(text)} is not a time for a run; give {SHORTEST_RUN_S} to {LONGEST_RUN_S} seconds"
        )
    return seconds


def read_age(text: str) -> float:
    from perfcore.units import parse_duration

    # 30 would be seconds everywhere else, and whoever types it here means days.
    if text.strip()[-1:].isalpha():
        try:
            return parse_duration(text)
        except ValueError:
            pass
    raise argparse.ArgumentTypeError(
        f"{quoted(text)} is not an age; give a number and its unit: 30d, 12h or 1d12h"
    )
