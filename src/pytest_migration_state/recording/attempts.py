"""The result of one test, accumulated from pytest's reports."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from pytest_migration_state.recording.failure_detail import failure_detail, readable
from pytest_migration_state.redaction import redact

if TYPE_CHECKING:
    import pytest

    from pytest_migration_state.domain.verdict import Outcome

_ORDER: Final[tuple[Outcome, ...]] = ("passed", "skipped", "xfailed", "failed")
#: The outcomes of pytest's own reports. Any other outcome is set by a plugin for an attempt that will be
#: repeated: "rerun" by pytest-rerunfailures, "retried" (or the value of its option) by pytest-retry.
_FINAL: Final = frozenset({"passed", "failed", "skipped"})
#: A colour of a terminal (SGR of ECMA-48).
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")


def is_worse(outcome: Outcome | None, than: Outcome | None) -> TypeGuard[Outcome]:
    """Return True if ``outcome`` is worse than ``than``. Any is worse than ``None``."""
    return outcome is not None and (than is None or _ORDER.index(outcome) > _ORDER.index(than))


def will_be_repeated(report: pytest.TestReport) -> bool:
    """Return True if the report's attempt does not count, because the test will be repeated."""
    return report.outcome not in _FINAL


@dataclasses.dataclass(slots=True)
class Attempt:
    """Accumulated result of one test.

    :ivar outcome: the worst outcome so far of setup, call, teardown and subtests; ``None`` until the call, or
        a failed or skipped setup, is reported.
    :ivar reason: the message of the first report with that outcome, without secrets.
    :ivar duration: the total duration of all reports, in seconds.
    :ivar number: the number of the attempt, counted from 1.
    :ivar is_over: True if the teardown has been reported.
    :ivar detail: the end of the traceback and the output of that report, if the test failed.
    """

    outcome: Outcome | None = None
    reason: str | None = None
    duration: float = 0.0
    number: int = 1
    is_over: bool = False
    detail: str | None = None

    @classmethod
    def continued(cls, before: dict[str, Any]) -> Attempt:
        """Return the result of earlier reports, which a worker may have put together.

        Secrets that only this process knows are replaced here.

        :param before: the fields of the result.
        """
        attempt = cls(**before)
        if attempt.reason:
            attempt.reason = redact(attempt.reason)
        if attempt.detail:
            attempt.detail = redact(attempt.detail)
        return attempt

    def add(self, report: pytest.TestReport) -> None:
        """Add a report to the result."""
        if report.outcome == "passed" and not hasattr(report, "rerun"):
            # Nearly every report, and three of them for each test.
            self.duration += report.duration
            if report.when == "teardown":
                self.is_over = True
            elif report.when == "call" and self.outcome is None:
                self.outcome, self.reason = "passed", None
            return
        rerun: int | None = getattr(report, "rerun", None)
        if rerun:
            self.number = rerun + 1
        if will_be_repeated(report):
            # The report has no attempt number, for example because the worker crashed.
            self.number += rerun is None
            self.outcome, self.duration, self.is_over = None, 0.0, False
            self.detail = None
            self.reason = f"its last outcome is '{report.outcome}', which is not a final one"
            return
        self.duration += report.duration
        if report.when == "teardown":
            self.is_over = True
        outcome = outcome_of(report)
        if is_worse(outcome, self.outcome):
            self.outcome = outcome
            self.reason = None if outcome == "passed" else short_reason(report)
            # The environment is read now: a fixture may set a secret, and the teardown may take it back.
            self.detail = failure_detail(report) if outcome == "failed" else None

    @property
    def is_enough(self) -> bool:
        """True if the result is final although no end was reported.

        A test that has passed so far may still fail in its teardown.
        """
        return self.outcome is not None and (self.is_over or self.outcome != "passed")

    def absorb(self, other: Attempt) -> None:
        """Merge the result of the same test on another worker: the worse result counts."""
        if is_worse(other.outcome, self.outcome):
            self.outcome, self.reason, self.detail = other.outcome, other.reason, other.detail
        self.duration = max(self.duration, other.duration)
        self.number = max(self.number, other.number)


def outcome_of(report: pytest.TestReport) -> Outcome | None:
    """Return the outcome of one report; ``None`` if the report decides nothing (a successful setup)."""
    if report.outcome == "passed":
        return "passed" if report.when == "call" else None
    if report.outcome == "skipped":
        return "xfailed" if hasattr(report, "wasxfail") else "skipped"
    return "failed"


def short_reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return the reason why a report is not passed, as short as possible, without colours and secrets.

    On a terminal pytest colours the difference between two values, which is a part of its message.
    """
    return redact(_COLOUR.sub("", _reason_of(report)))


def _reason_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    longrepr = report.longrepr
    if hasattr(report, "wasxfail") and report.outcome == "skipped":
        return str(report.wasxfail).removeprefix("reason: ") or "xfail"
    if isinstance(longrepr, tuple) and len(longrepr) > 2:
        return readable(longrepr[2]).removeprefix("Skipped: ")
    if crash := getattr(longrepr, "reprcrash", None):
        return _phase_prefix(report) + str(crash.message)
    return _last_line(longrepr) or report.outcome


def _phase_prefix(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return ``"setup: "`` or ``"teardown: "`` for a report about that phase, otherwise an empty string."""
    phase = getattr(report, "when", None)
    return "" if phase in {"call", None} else f"{phase}: "


def _last_line(longrepr: object) -> str:
    """Return the last line of a failure's text: in a text of several lines, the last one is the error."""
    text = readable(longrepr).strip()
    return text.rpartition("\n")[2].removeprefix("E").strip()
