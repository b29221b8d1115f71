"""A verdict: the result of one validation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from pytest_migration_state.types import JsonObject, Key

#: Pytest's names for the result of a test.
Outcome = Literal["passed", "skipped", "xfailed", "failed"]


class Verdict(NamedTuple):
    """The result of one validation, before it becomes an event.

    :ivar key: the validation.
    :ivar passed: whether it passed.
    :ivar error_message: why it failed, or ``None``.
    :ivar outcome: pytest's name for the result; ``None`` if pytest did not record it.
    :ivar duration_seconds: setup, call and teardown together, in seconds; ``None`` if unknown.
    :ivar run_id: the run that recorded it; ``None`` if none did.
    :ivar attempts: how often the test was run, if it was more than once.
    :ivar node_id: the node id of the test, if its validation has another name.
    :ivar overridden: the mark of a verdict that replaces the failure of a run (see
        :func:`~pytest_migration_state.domain.override.mark`), or ``None``.
    :ivar detail: the end of the traceback and the captured output of a failed test, or ``None``.
    """

    key: Key
    passed: bool
    error_message: str | None = None
    outcome: Outcome | None = None
    duration_seconds: float | None = None
    run_id: str | None = None
    attempts: int | None = None
    node_id: str | None = None
    overridden: JsonObject | None = None
    detail: str | None = None

    def to_object(self, tested_at: str) -> JsonObject:
        """Return the verdict as the document holds it.

        Keys after the format's first five are left out if they are unknown.

        :param tested_at: when the test ended (see :func:`~pytest_migration_state.text.utc_now`).
        """
        component, test_name = self.key
        verdict: JsonObject = {
            "component": component,
            "test_name": test_name,
            "passed": self.passed,
            "error_message": self.error_message,
            "tested_at": tested_at,
        }
        if self.outcome is not None:
            verdict["outcome"] = self.outcome
        if self.duration_seconds is not None:
            verdict["duration_seconds"] = round(self.duration_seconds, 6)
        if self.run_id is not None:
            verdict["run_id"] = self.run_id
        if self.attempts is not None:
            verdict["attempts"] = self.attempts
        if self.node_id is not None:
            verdict["node_id"] = self.node_id
        if self.overridden is not None:
            verdict["overridden"] = self.overridden
        if self.detail is not None:
            verdict["detail"] = self.detail
        return verdict
