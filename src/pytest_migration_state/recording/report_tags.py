"""The tag of a report that its node id alone does not tie to a test of the plan.

xdist sends the tag from a worker to the controller together with the report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pytest

#: The attribute of a report that holds its tag, if it has one: a dict with some of the keys below.
TAG: Final = "migration_state"
#: The name, in the plan, of the test that the report is about.
TEST: Final = "test"
#: The validations of the test, if a marker was added after the collection.
KEYS: Final = "keys"
#: The result of the earlier reports of such a test (see :class:`~.attempts.Attempt`).
BEFORE: Final = "before"
#: The tests that may share the fixture that failed here.
IN_DOUBT: Final = "in_doubt"
#: The reason, in words, why the report can be tied to no test.
PROBLEM: Final = "problem"


def set_tag(report: pytest.TestReport, key: str, value: Any) -> None:
    """Set one key of a report's tag."""
    tag = report.__dict__.setdefault(TAG, {})
    tag[key] = value
