"""The mark of a verdict that no run recorded, in place of a failure that a run did record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_migration_state.domain.override import mark, mark_of

if TYPE_CHECKING:
    from pytest_migration_state.types import JsonObject

EARLIER = {"by": "jane@ops", "at": "2026-01-15T09:00:00Z", "reason": "OPS-7"}
NEW = {"by": "joe@ops", "at": "2026-01-15T10:00:00Z", "reason": None}
FAILED, PASSED = {"passed": False}, {"passed": True}
RUN = {"run_id": "7f3c"}

#: The old verdict, and the mark of a verdict by hand that replaces it.
MARKS: dict[str, tuple[JsonObject | None, JsonObject | None]] = {
    "no verdict": (None, None),
    "failed in a run": (FAILED | RUN, NEW),
    "xfailed in a run": (FAILED | RUN | {"outcome": "xfailed"}, NEW),
    "passed in a run": (PASSED | RUN, None),
    "failed by hand": (FAILED, None),
    "passed by hand": (PASSED, None),
    "failed by hand over a run's failure": (FAILED | {"overridden": EARLIER}, NEW),
    "passed by hand over a run's failure": (PASSED | {"overridden": EARLIER}, EARLIER),
    "marked, in the text of ConvertTo-Json": (FAILED | {"overridden": "@{by=jane@ops}"}, NEW),
    "an empty mark": (FAILED | {"overridden": None}, None),
}


@pytest.mark.parametrize(("old", "expected"), MARKS.values(), ids=MARKS)
def test_a_run_s_failure_is_marked_until_a_run_passes(
    old: JsonObject | None, expected: JsonObject | None
) -> None:
    """Only the failure of a run is overridden; verdicts by hand hand the mark on."""
    assert expected == mark(old, "joe@ops", "2026-01-15T10:00:00Z", None)


def test_a_reason_replaces_the_mark_of_a_passed_verdict() -> None:
    """A reason that was forgotten can be given by recording the verdict again."""
    expected = NEW | {"reason": "OPS-8"}
    assert expected == mark(PASSED | {"overridden": EARLIER}, "joe@ops", "2026-01-15T10:00:00Z", "OPS-8")


def test_a_mark_that_became_text_is_read() -> None:
    """ConvertTo-Json with its default depth does not remove the mark."""
    assert mark_of({"overridden": "@{by=jane@ops}"}) == {"by": None, "at": None, "reason": "@{by=jane@ops}"}
    assert (mark_of({"overridden": EARLIER}), mark_of({"overridden": ""}), mark_of({})) == (
        EARLIER,
        None,
        None,
    )
