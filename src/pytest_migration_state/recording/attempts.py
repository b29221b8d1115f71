"""What one test said: pytest's reports of it become one result. Reports in, result out."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pytest

    from pytest_migration_state.domain.verdict import Outcome

_ORDER: Final[tuple[Outcome, ...]] = ("passed", "skipped", "xfailed", "failed")
#: The outcomes of pytest's own reports. Every other is a plugin's word for an attempt that will be repeated:
#: "rerun" of pytest-rerunfailures, "retried" (or what its option says) of pytest-retry.
_FINAL: Final = frozenset({"passed", "failed", "skipped"})


def is_worse(outcome: Outcome | None, than: Outcome | None) -> bool:
    """Return True if ``outcome`` is the worse result of a test. Any is worse than none."""
    return outcome is not None and (than is None or _ORDER.index(outcome) > _ORDER.index(than))


def will_be_repeated(report: pytest.TestReport) -> bool:
    """Return True if the report is of an attempt that does not count, since there will be another."""
    return report.outcome not in _FINAL


@dataclasses.dataclass(slots=True)
class Attempt:
    """Accumulated result of one test.

    :ivar outcome: the worst so far of setup, call, teardown and subtests; ``None`` before the call, or what
        prevented it.
    :ivar reason: the message of the first report with that outcome.
    :ivar duration: of all its reports together, in seconds.
    :ivar number: the attempt, counted from 1.
    :ivar is_over: whether its teardown has been reported.
    """

    outcome: Outcome | None = None
    reason: str | None = None
    duration: float = 0.0
    number: int = 1
    is_over: bool = False

    def add(self, report: pytest.TestReport) -> None:
        """Add a report."""
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
        """Whether the result is final although no end was reported.

        A test that passed so far may fail in its teardown.
        """
        return self.outcome is not None and (self.is_over or self.outcome != "passed")

    def absorb(self, other: Attempt) -> None:
        """Merge the same test on another worker: the worse result counts."""
        if is_worse(other.outcome, self.outcome):
            self.outcome, self.reason = other.outcome, other.reason
        self.duration = max(self.duration, other.duration)
        self.number = max(self.number, other.number)


def outcome_of(report: pytest.TestReport) -> Outcome | None:
    """Return what one report says of its test; ``None`` if it says nothing (a successful setup)."""
    if report.outcome == "passed":
        return "passed" if report.when == "call" else None
    if report.outcome == "skipped":
        return "xfailed" if hasattr(report, "wasxfail") else "skipped"
    return "failed"


def short_reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return why a report is not passed, in as few words as possible."""
    longrepr = report.longrepr
    if hasattr(report, "wasxfail") and report.outcome == "skipped":
        return str(report.wasxfail).removeprefix("reason: ") or "xfail"
    if isinstance(longrepr, tuple):
        return str(longrepr[2]).removeprefix("Skipped: ")
    if crash := getattr(longrepr, "reprcrash", None):
        where = "" if getattr(report, "when", "call") in {"call", None} else f"{report.when}: "
        return where + str(crash.message)
    text = str(longrepr or "").strip()
    # In a longer text the last line is the error.
    return text.rpartition("\n")[2].removeprefix("E").strip() or report.outcome
