"""What ``--migration-complete`` does at the end of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_migration_state.domain.phases import Phase
from pytest_migration_state.errors import MigrationStateError

if TYPE_CHECKING:
    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.gate import GateResult
    from pytest_migration_state.domain.policy import Policy
    from pytest_migration_state.recording.results import Results
    from pytest_migration_state.tracking.run_writer import RunWriter


class Completion:
    """Completes the migration at the end of a run, if that was asked for and the run can vouch for it.

    :param is_wanted: whether it was asked for.
    :ivar gate: the gate's result at the end of the run; ``None`` before.
    :ivar sentence: what came of it, in words; ``None`` before, and if it was not asked for.
    """

    def __init__(self, policy: Policy, *, is_wanted: bool) -> None:
        self.policy = policy
        self.gate: GateResult | None = None
        self.sentence: str | None = None
        self._is_wanted = is_wanted
        self._is_done = False

    def check(self, document: Document, path: object) -> None:
        """Refuse a run that could not complete the migration.

        :raises pytest.UsageError: the phase does not allow it.
        """
        if self._is_wanted and document.phase not in {Phase.VALIDATION, Phase.COMPLETED}:
            phase = f"the migration is in phase {document.phase} and can be completed only from Validation"
            raise pytest.UsageError(f"--migration-complete: {path}: {phase}; see 'migration-state phase'")

    @property
    def why_not_done(self) -> str | None:
        """Why what was asked for is not done, in words; ``None`` if it is."""
        if not self._is_wanted or self._is_done:
            return None
        return self.sentence or "the migration is not completed"

    def complete(
        self, run: RunWriter, results: Results, problem: str | None, status: int | pytest.ExitCode
    ) -> None:
        """Judge the gate, and complete the migration if that was asked for.

        :param problem: what went wrong with the recording, if anything did.
        """
        self.gate = run.gate(self.policy)
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
            self.gate = run.complete(self.policy, results.own_blockers(self.policy))
        except MigrationStateError as error:
            self.sentence = f"not completed: {error}"
            return
        self._is_done = self.gate.open
        if was_completed:
            gate = "its gate is still open" if self.gate.open else "its gate is shut"
            self.sentence = f"the migration was in phase Completed before, and {gate}"
        elif self.gate.open:
            self.sentence = "completed: the migration is in phase Completed"
        else:
            self.sentence = "not completed: the gate is shut"
