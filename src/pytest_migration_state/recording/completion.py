"""The effect of ``--migration-complete`` at the end of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_migration_state.domain.phases import Phase
from pytest_migration_state.errors import MigrationStateError
from pytest_migration_state.reports.pytest_summary import GateAndCounts
from pytest_migration_state.reports.status import status_of

if TYPE_CHECKING:
    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.policy import Policy
    from pytest_migration_state.recording.results import Results
    from pytest_migration_state.tracking.run_writer import RunWriter


class Completion:
    """Completes the migration at the end of a run, if the option was given and nothing went wrong.

    :param is_wanted: True if the option was given.
    :ivar sentence: the result as a sentence; ``None`` before the end of the run, and without the option.
    """

    def __init__(self, policy: Policy, *, is_wanted: bool) -> None:
        self.policy = policy
        self._judged: GateAndCounts | None = None
        self.sentence: str | None = None
        self._is_wanted = is_wanted
        self._is_done = False

    def check(self, document: Document, path: object) -> None:
        """Refuse a run that could not complete the migration.

        :raises pytest.UsageError: the migration is in a phase that cannot be completed.
        """
        if self._is_wanted and document.phase not in {Phase.VALIDATION, Phase.COMPLETED}:
            phase = f"the migration is in phase {document.phase} and can be completed only from Validation"
            raise pytest.UsageError(f"--migration-complete: {path}: {phase}; see 'migration-state phase'")

    @property
    def why_not_done(self) -> str | None:
        """The reason why a requested completion is not done; ``None`` if it is done or was not requested."""
        if not self._is_wanted or self._is_done:
            return None
        return self.sentence or "the migration is not completed"

    def complete(
        self, run: RunWriter, results: Results, problem: str | None, status: int | pytest.ExitCode
    ) -> None:
        """Evaluate the gate, and complete the migration if the option was given.

        :param problem: a problem of the recording, if there was one.
        """
        self._judged = self._judge(run)
        if not self._is_wanted:
            return
        if status not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
            ended = f"the run ended with exit status {int(status)}, without having run all of its tests"
            self.sentence = f"not completed: {ended}"
        elif problem or run.failure:
            self.sentence = f"not completed: {problem or run.failure}"
        else:
            self._try(run, results)

    def _try(self, run: RunWriter, results: Results) -> None:
        was_completed = run.document.phase is Phase.COMPLETED
        try:
            gate = run.complete(self.policy, results.own_blockers(self.policy))
        except MigrationStateError as error:
            self.sentence = f"not completed: {error}"
            return
        self._judged = GateAndCounts(gate, status_of(run.document))
        self._is_done = gate.open
        if was_completed:
            words = "its gate is still open" if gate.open else "its gate is shut"
            self.sentence = f"the migration was in phase Completed before, and {words}"
        elif gate.open:
            self.sentence = "completed: the migration is in phase Completed"
        else:
            self.sentence = "not completed: the gate is shut"

    def judged(self, run: RunWriter) -> GateAndCounts | None:
        """Return the gate's result after the end of the run; ``None`` if it was not evaluated.

        Others may have changed the state since the run was judged. A gate that was shut then stays shut: it
        decided, but for a run that pytest refused, for which nothing waits any more.
        """
        if self._judged and (self._judged.gate.open or run.is_refused):
            self._judged = self._judge(run)
        return self._judged

    def _judge(self, run: RunWriter) -> GateAndCounts:
        return GateAndCounts(run.gate(self.policy), status_of(run.document))
