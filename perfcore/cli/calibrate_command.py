"""`perfcore calibrate`: how wrong this tool itself is on this machine, by rate; kept for later runs to tell."""

import argparse
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from perfcore.cli.messages import output, warn, write_utf8
from perfcore.cli.signal_handlers import handled
from perfcore.engine.calibrating import CalibrationOrder, Step, calibrate
from perfcore.engine.engine_choice import Engine
from perfcore.errors import ExitCode
from perfcore.metrics.calibration import Calibration, with_former
from perfcore.report.calibration_file import prove_place, save_calibration, stored_calibration
from perfcore.report.calibration_plot import ENGINE_NAMES, plot_svg
from perfcore.report.calibration_report import calibration_text
from perfcore.report.json_report import result_json
from perfcore.report.plain_text import write_text
from perfcore.report.sheet import Sheet, terminal_width
from perfcore.report.step_line import StepLine
from perfcore.units import format_duration

_ENGINES: dict[str, tuple[Engine, ...]] = {"wire": ("wire",), "transfer": ("transfer",)}
_BOTH: tuple[Engine, ...] = ("wire", "transfer")
# Seconds of a run, and rounds: a median needs three.
_USUAL, _QUICK = (4.0, 3), (2.5, 1)
# An interpreter's start, connections, the end.
_AROUND_A_RUN_S = 0.8
_WIDTH_WITHOUT_TERMINAL = 160


def run(options: argparse.Namespace) -> int:
    usual_s, rounds = _QUICK if options.quick else _USUAL
    order = CalibrationOrder(_ENGINES.get(options.engine, _BOTH), options.seconds or usual_s, rounds)
    prove_place()
    with _every_signal_interrupts():
        found = _measured(order, StepLine(sys.stderr, quiet=options.quiet))
        # Of the engine that was not asked for, what was known stays known.
        stored = stored_calibration(found.fingerprint)
        if stored.reason is not None and len(order.engines) < len(_BOTH):
            warn(f"of the other engine nothing is known any more: {stored.reason}")
        whole = with_former(found, stored.calibration)
        place = save_calibration(whole, plot_svg(whole))
    _show(whole, place, options)
    return ExitCode.PASSED


def _measured(order: CalibrationOrder, line: StepLine) -> Calibration:
    takes = format_duration(round(order.runs * (order.run_s + _AROUND_A_RUN_S)))
    line.message(f"{order.runs} runs against the embedded target, about {takes}; leave the machine to them")

    def on_step(step: Step) -> None:
        what = "as fast as it can" if step.rate is None else f"{step.rate:,.0f}/s"
        line.show(f"run {step.number} of {order.runs}: {ENGINE_NAMES[step.engine]}, {what}")

    try:
        return calibrate(order, on_step)
    finally:
        line.close()


def _show(calibration: Calibration, place: Path, options: argparse.Namespace) -> None:
    if options.json:
        with output() as stdout:
            write_utf8(stdout, result_json(calibration.document()).decode())
    elif not options.quiet:
        with output() as stdout:
            width = terminal_width(stdout)
            wants_color = not options.no_color and not os.environ.get("NO_COLOR")
            sheet = Sheet(
                _WIDTH_WITHOUT_TERMINAL if width is None else width,
                wants_color and stdout.isatty(),
                is_cut=width is not None,
            )
            write_text(calibration_text(calibration, place, sheet), stdout)


@contextmanager
def _every_signal_interrupts() -> Iterator[None]:
    """SIGTERM and SIGHUP end it as Ctrl-C does, so that no run is left behind; what is ignored stays so."""

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with handled(on_signal, signal.SIGTERM, signal.SIGHUP):
        yield
