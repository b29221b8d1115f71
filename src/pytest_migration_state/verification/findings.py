"""What a verification finds that can be accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_migration_state.domain.acceptance import Findings
from pytest_migration_state.verification.acceptance import digests_of
from pytest_migration_state.verification.verify import verify

if TYPE_CHECKING:
    from pytest_migration_state.storage.base import StateStore


def findings_of(store: StateStore) -> Findings:
    """Return what is wrong with the record of a state.

    A Completed migration whose gate is shut is not: its record says what happened.

    :raises MigrationStateError: the document cannot be used, or the log cannot be read.
    """
    report = verify(store)
    problems = [problem for problem in report.problems if problem.kind != "completed_past_gate"]
    digest = digests_of(store, {report.lines}).get(report.lines, "")
    return Findings(tuple(problem.message for problem in problems), report.lines, digest)
