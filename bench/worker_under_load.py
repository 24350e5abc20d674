"""One worker's part of a run, in this process: the program that bench.profile counts instructions of.

python -m bench.worker_under_load URL REQUESTS USERS ENGINE
"""

import gc
import os
import random
import sys
import time

from perfcore.engine.case_load import CaseLoad
from perfcore.engine.engine_choice import Engine
from perfcore.engine.load_loop import LoadLoop
from perfcore.engine.mixed_client import transport_for
from perfcore.engine.pacing import pacer_for
from perfcore.engine.scenario import Scenario
from perfcore.metrics.run_memory import RunMemory
from perfcore.metrics.samples import SampleReader, SampleWriter
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import TestSuite


def run(url: str, requests: int, users: int, engine: Engine) -> None:
    case = TestCase(
        name="profile", endpoint=url, parallel_users=users, ramp_up="0s", iterations=requests // users
    )
    suite = TestSuite.of(case)
    memory = RunMemory(1, 1)
    writer = SampleWriter(memory.rings[0], lambda rows: memory.accumulators[0].fold(rows))
    transport = transport_for({0: engine})
    pacer = pacer_for(case)
    start_ns = time.monotonic_ns()
    memory.accumulators[0].tests[0].begin(start_ns, None)
    load = CaseLoad(
        0,
        source=Scenario(suite, case, 0, seed=1),
        pacer=pacer,
        expectation=case.expect,
        starts=pacer.starts(0, 1),
        iterations=requests // users,
        budget=None,
        start_ns=start_ns,
        end_ns=None,
        graceful_stop_ns=30_000_000_000,
        draw=random.Random(1),
    )

    def keep_house(_now_ns: int) -> bool:
        # In a run the supervisor's process does this; here it only keeps blocks free.
        SampleReader(memory.rings[0]).drain(lambda _rows: None)
        return False

    loop = LoadLoop(
        [load],
        transport,
        writer,
        clock=time.monotonic_ns,
        on_failure=lambda exchange, text: sys.exit(f"{exchange.error} {text}"),
        on_housekeeping=keep_house,
    )
    loop.run()
    transport.close()


if __name__ == "__main__":
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    gc.disable()
    run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), "wire" if sys.argv[4] == "wire" else "transfer")
