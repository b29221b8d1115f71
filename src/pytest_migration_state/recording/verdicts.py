"""pytest's reports of one test, become one verdict. Pure: reports in, verdict out."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    import pytest

Outcome = Literal["passed", "skipped", "xfailed", "failed"]

_ORDER: Final[tuple[Outcome, ...]] = ("passed", "skipped", "xfailed", "failed")
#: The outcomes that pytest's own reports have. Every other is a plugin's word for an attempt that will be repeated: "rerun" of
#: pytest-rerunfailures, "retried" (or what its option says) of pytest-retry.
_FINAL: Final = frozenset({"passed", "failed", "skipped"})


def is_worse(outcome: Outcome | None, than: Outcome | None) -> bool:
    """Whether ``outcome`` is a worse one for a test. Any is worse than none."""
    return outcome is not None and (than is None or _ORDER.index(outcome) > _ORDER.index(than))


def will_be_repeated(report: pytest.TestReport) -> bool:
    """Whether the report is of an attempt that does not count, since there will be another."""
    return report.outcome not in _FINAL


@dataclasses.dataclass(slots=True)
class Attempt:
    """What is known of a test that is running.

    :ivar outcome: the worst so far of setup, call, teardown and subtests; ``None`` before a call (or what prevented one).
    :ivar reason: the message of the first report with that outcome.
    :ivar duration: of its reports together, in seconds.
    :ivar number: the attempt, counted from 1.
    :ivar is_over: has its teardown been reported?
    """

    outcome: Outcome | None = None
    reason: str | None = None
    duration: float = 0.0
    number: int = 1
    is_over: bool = False

    def add(self, report: pytest.TestReport) -> None:
        """Take one more report into account."""
        rerun: int | None = getattr(report, "rerun", None)
        if rerun:
            self.number = rerun + 1
        if will_be_repeated(report):
            # A worker that crashed could not count its attempts.
            self.number += rerun is None
            self.outcome, self.duration, self.is_over = None, 0.0, False
            self.reason = f"its last outcome is '{report.outcome}', which is not a final one"
            return
        self.duration += report.duration
        if report.when == "teardown":
            self.is_over = True
        outcome = outcome_of(report)
        if is_worse(outcome, self.outcome):
            self.outcome = outcome
            self.reason = None if outcome == "passed" else short_reason(report)

    @property
    def is_enough(self) -> bool:
        """Whether it is known how the test ended, although nobody said that it has. What passed so far may fail at its teardown."""
        return self.outcome is not None and (self.is_over or self.outcome != "passed")

    def absorb(self, other: Attempt) -> None:
        """Take the worse of two attempts: the same test on several workers."""
        if is_worse(other.outcome, self.outcome):
            self.outcome, self.reason = other.outcome, other.reason
        self.duration = max(self.duration, other.duration)
        self.number = max(self.number, other.number)


def outcome_of(report: pytest.TestReport) -> Outcome | None:
    """What one report says of its test; ``None`` where it says nothing (a setup that went well)."""
    if report.outcome == "passed":
        return "passed" if report.when == "call" else None
    if report.outcome == "skipped":
        return "xfailed" if hasattr(report, "wasxfail") else "skipped"
    return "failed"


def short_reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why a report is not passed, in as few words as pytest has for it."""
    longrepr = report.longrepr
    if hasattr(report, "wasxfail") and report.outcome == "skipped":
        return str(report.wasxfail).removeprefix("reason: ") or "xfail"
    if isinstance(longrepr, tuple):
        return str(longrepr[2]).removeprefix("Skipped: ")
    if crash := getattr(longrepr, "reprcrash", None):
        where = "" if getattr(report, "when", "call") in {"call", None} else f"{report.when}: "
        return where + str(crash.message)
    text = str(longrepr or "").strip()
    # Of a text for people the last line is the error, and the lines before it are how it came about.
    return text.rpartition("\n")[2].removeprefix("E").strip() or report.outcome
