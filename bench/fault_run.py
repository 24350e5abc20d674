"""A fault run: random load, a random fault, and afterwards the totals against the server's count. Again and again.

    python -m bench.fault_run --minutes 60 --seed 7
    python -m bench.fault_run --seed 7 --round 123        one round again, for as many minutes

Each round draws its load (users, workers, engine, endpoint, keep-alive, think time, expectation, samples, ring size)
and one of the kinds of `bench.fault_kinds` from the seed and its own number, so that a round can be repeated; what the
machine does meanwhile cannot. After each round the figures have to add up, `attempts` has to equal what the server
counted (within what a killed process had under way), and nothing may be left: no process, nothing in /dev/shm, no
socket, no temporary file, no half-saved result.

The first disagreement ends the run with exit code 1: it prints what disagreed and what repeats the round, and keeps
the round's directory (suite, streams, results). Otherwise the exit code is 0 and a table says how often each kind ran.
Ctrl-C ends the run after the round under way.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from bench.fault_kinds import ENGINES, KINDS, Round
from bench.fault_rig import DisagreementError, Target

TELL_EVERY_S = 60.0


def draw_of(seed: int, number: int) -> random.Random:
    return random.Random(f"{seed}:{number}")


def play(target: Target, seed: int, number: int, place: Path, only: str | None) -> tuple[str, str]:
    """One round; returns its kind and the engine drawn. DisagreementError tells what was wrong and what repeats it."""
    draw = draw_of(seed, number)
    kind = draw.choice(list(KINDS))
    kind = only or kind
    target.ask("POST", "/stats/reset")
    folder = place / f"round-{number}"
    round_ = Round(draw, target, folder)
    try:
        KINDS[kind](round_)
    except DisagreementError as error:
        again = f"python -m bench.fault_run --seed {seed} --round {number}" + (
            f" --kind '{only}'" if only else ""
        )
        raise DisagreementError(f"{kind}: {error}\n{round_.load}\n{folder} is kept; again: {again}") from None
    shutil.rmtree(folder)
    return kind, round_.load.engine


def run_for(minutes: float, seed: int, only_round: int | None, kind: str | None) -> int:
    counts, begun, told_s = Counter[tuple[str, str]](), time.monotonic(), 0.0
    place = Path(tempfile.mkdtemp(prefix="perfcore-fault-run-"))
    target = Target()
    number = 0
    try:
        while (passed_s := time.monotonic() - begun) < minutes * 60:
            counts[play(target, seed, number if only_round is None else only_round, place, kind)] += 1
            number += 1
            if passed_s - told_s >= TELL_EVERY_S:
                told_s = passed_s
                print(f"{passed_s / 60:.0f} min: {number} rounds agree", file=sys.stderr, flush=True)
    except DisagreementError as error:
        tell(counts, seed, begun)
        print(f"DISAGREES in round {number if only_round is None else only_round}: {error}")
        return 1
    except KeyboardInterrupt:
        pass
    finally:
        target.kill()
        if not any(place.iterdir()):
            place.rmdir()
    tell(counts, seed, begun)
    return 0


def tell(counts: Counter[tuple[str, str]], seed: int, begun: float) -> None:
    print(
        f"seed {seed}, {sum(counts.values())} rounds in {(time.monotonic() - begun) / 60:.1f} min; all of these agree:"
    )
    print("".join(f"{engine:>10}" for engine in ENGINES))
    for kind in KINDS:
        print("".join(f"{counts[kind, engine]:10,}" for engine in ENGINES) + f"  {kind}")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.fault_run", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--minutes", type=float, default=5.0, help="begin no round after so long (default: 5)"
    )
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(2**32), help="default: any"
    )
    parser.add_argument("--round", type=int, help="this round only, again and again")
    parser.add_argument("--kind", choices=list(KINDS), help="this kind only")
    options = parser.parse_args()
    return run_for(options.minutes, options.seed, options.round, options.kind)


if __name__ == "__main__":
    sys.exit(main())
