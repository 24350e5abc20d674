"""`perfcore clean`: remove old results, and nothing else."""

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from perfcore.cli.messages import output, warn
from perfcore.errors import ExitCode, NotSavedError, UsageError
from perfcore.report.printable import printable
from perfcore.report.results_cleaner import Cleaning, clean_results
from perfcore.units import format_bytes

DEFAULT_RESULTS_DIR = "results"


def run(options: argparse.Namespace) -> int:
    if options.keep is None and options.older_than is None:
        raise UsageError(
            "which results are old? --keep N keeps the N newest, --older-than AGE (30d) removes older ones; "
            "with both, what neither keeps is removed"
        )
    place = Path(options.results_dir or DEFAULT_RESULTS_DIR)
    try:
        cleaning = clean_results(
            place,
            keep=options.keep,
            older_than_s=options.older_than,
            now=datetime.now(UTC),
            dry_run=options.dry_run,
        )
    except FileNotFoundError:
        if options.results_dir:
            raise UsageError(f"{place}: there is no such directory; --results-dir names another") from None
        cleaning = Cleaning()  # no run has been kept here yet
    except NotADirectoryError:
        raise UsageError(f"{place}: is not a directory; --results-dir names another") from None
    except OSError as error:
        raise NotSavedError(f"{place}: {error.strerror or error}: nothing was removed") from error
    with output() as stdout:
        _show(cleaning, place, stdout, dry_run=options.dry_run)
    for result in cleaning.guarded:
        warn(f"{place / result.name}: holds {_listed(result.foreign)}, not perfcore's own, so it was kept")
    for name, reason in cleaning.refused:
        warn(f"{place / name}: {reason}: left as it is")
    return ExitCode.NOT_SAVED if cleaning.refused else ExitCode.PASSED


def _show(cleaning: Cleaning, place: Path, stdout: TextIO, *, dry_run: bool) -> None:
    if dry_run:
        for result in cleaning.removed:
            print(
                printable(f"would remove {place / result.name}  {format_bytes(result.size_bytes)}"),
                file=stdout,
            )
    number = len(cleaning.removed)
    what = f"{number:,} result{'' if number == 1 else 's'}, {format_bytes(cleaning.removed_bytes)}"
    kept = f"{cleaning.kept:,} kept"
    print(f"would remove {what}; {kept}" if dry_run else f"removed {what}; {kept}", file=stdout)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
