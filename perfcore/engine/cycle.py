"""What a transport may do of itself for a plain closed test, so that the loop is not asked for each request."""

from typing import Protocol

from perfcore.metrics.samples import SampleWriter
from perfcore.suite.quick_judgement import Judge


class Budget(Protocol):
    """Iterations that all users of all workers share (`total_iterations`)."""

    def take(self) -> bool:
        """Whether there was one left; it is then the caller's."""

    def is_spent(self) -> bool:
        """Whether none is left, so that nobody needs to wait for one."""


class Cycle:
    """Of a test that sends its next request as soon as an answer has come: a constant one, or one of `source`.

    When an answer comes before `end_ns`, its status is `accepted`, `judge` has nothing against it where more than the
    status is looked at, and `take` (of `total_iterations`) gives one more where there is such a budget, the transport
    may record the request into `recorder` and send the next. Otherwise, and for everything that is not a success, the
    exchange is handed back as ever, with its iteration, due and issued instants brought up to date. `iterations` bounds
    each user; with 0 every answer is handed back, and only read in the short way. `recognised` counts the answers that
    needed no parser.
    """

    __slots__ = (
        "accepted",
        "end_ns",
        "iterations",
        "judge",
        "needs_headers",
        "recognised",
        "recorder",
        "source",
        "take",
    )

    def __init__(
        self,
        recorder: SampleWriter,
        *,
        source: object,
        accepted: bytes,
        iterations: int,
        budget: Budget | None,
        end_ns: int,
        judge: Judge | None,
        needs_headers: bool,
    ) -> None:
        self.recorder = recorder
        self.source = source
        self.accepted = accepted
        self.iterations = iterations
        self.take = None if budget is None else budget.take
        self.end_ns = end_ns
        self.judge = judge
        self.needs_headers = needs_headers
        self.recognised = 0
