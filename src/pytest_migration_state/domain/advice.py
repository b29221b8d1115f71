"""The sentences of blockers: what is wrong, and the command that fixes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_migration_state.domain.phases import TRANSITIONS, Phase
from pytest_migration_state.domain.policy import COLLECTION
from pytest_migration_state.domain.runs import REST, clashing, is_rest, run_in_words, run_name
from pytest_migration_state.text import first_line, to_printable

if TYPE_CHECKING:
    from pytest_migration_state.domain.commands import Commands
    from pytest_migration_state.types import JsonObject, Key, Liveness

#: The test name of the verdict on a container's backup.
BACKUP: Final = "backup"
#: A sentence that says what is wrong, and one that says what to do about it.
Sentences = tuple[str, str]


class Advice:
    """The sentences of blockers.

    :param commands: the commands that they name.
    """

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    # --- what is wrong, and the fix -------------------------------------------------------------------------

    def on_phase(self, phase: Phase) -> Sentences:
        """Return the sentences about a phase that Completed cannot follow."""
        if phase is Phase.ROLLED_BACK:
            message = "the migration is rolled back, which is final"
            return message, f"begin again: {self._commands.begin_again()}"
        message = f"the phase is {phase}, and Completed can follow only Validation"
        return message, f"next: {self._commands.go_to(TRANSITIONS[phase][0])}"

    def on_lost_entries(self, lost: str) -> Sentences:
        """Return the sentences about a log that has lost entries.

        :param lost: what is missing, in words.
        """
        fix = "restore the log from a copy if nothing was recorded since, or accept the state without them"
        return to_printable(first_line(lost)), f"{fix}: {self._commands.accept()}"

    def on_failure(self, key: Key, verdict: JsonObject) -> Sentences:
        """Return the sentences about a failed verdict."""
        message = f"{_name(key)} failed"
        if verdict.get("error_message"):
            message += f": {to_printable(first_line(verdict['error_message']))}"
        return message, f"fix it, then {self._run(key, verdict)}; {self._if_gone(key)}"

    def on_expected_failure(self, key: Key, verdict: JsonObject) -> Sentences:
        """Return the sentences about a test that failed as its xfail mark expects."""
        fix = f"fix it and remove the mark, or allow 'xfailed'; then {self._run(key, verdict)}"
        return f"{_name(key)} failed as its xfail mark expects", f"{fix}; {self._if_gone(key)}"

    def on_stale(self, key: Key, verdict: JsonObject, process: JsonObject) -> Sentences:
        """Return the sentences about a verdict on an earlier process.

        :param process: the newest process of the component, as the document holds it.
        """
        started = "newest process"
        if process.get("process_id") is not None:
            started = f"process {process['process_id']}"
        message = f"{_name(key)} was validated before its {started} was started"
        return message, f"{self._run(key, verdict)}, or allow 'stale'; {self._if_gone(key)}"

    def on_outstanding(self, key: Key, entry: JsonObject, run: str | None, *, is_running: bool) -> Sentences:
        """Return the sentences about a validation without a verdict.

        :param run: the unfinished run that it waits for, in words; ``None`` if it waits for none.
        """
        detail = ""
        if entry.get("detail"):
            detail = f" ({to_printable(first_line(entry['detail']))})"
        again, forget = self._run(key, entry), self._if_gone(key)
        match entry["reason"]:
            case "deselected" if key[0] == COLLECTION:
                return f"{_name(key)} was not looked at{detail}", f"{again}, or allow 'deselected'; {forget}"
            case "deselected":
                message = f"{_name(key)} was deselected and has never run{detail}"
                return message, f"{again}, or allow 'deselected'; {forget}"
            case "skipped":
                fix = f"fix what it waits for, then {again}, or allow 'skipped'; {forget}"
                return f"{_name(key)} was skipped{detail}", fix
            case "collection_error":
                return (
                    f"{to_printable(key[1])} could not be collected{detail}",
                    f"fix it, then {again}; {forget}",
                )
            case _:
                if run is None:
                    return (
                        f"{_name(key)} was selected to run and has no verdict{detail}",
                        f"{again}; {forget}",
                    )
                first = "let it finish, or " if is_running else ""
                return f"{_name(key)} has no verdict{detail}: {run}", f"{first}{again}; {forget}"

    def on_unfinished_run(
        self, run_id: str, run: JsonObject, liveness: Liveness, *, is_own: bool
    ) -> Sentences:
        """Return the sentences about a run that is alive, or ended before its plan was recorded.

        :param is_own: whether this run itself evaluates the gate.
        """
        message = run_in_words(run_id, run, liveness)
        if is_own:
            message = f"{run_name(run_id)}, this one, ended before it was known which tests it would run"
        first = "let it finish" if liveness == "alive" and not is_own else "run the same again"
        return message, f"{first}, or: {self._commands.forget((COLLECTION, run_name(run_id)))}"

    def on_no_verdicts(self) -> Sentences:
        """Return the sentences about a state without any verdict."""
        return "no validation has a verdict yet", f"run the marked tests: {self._commands.run_all()}"

    def on_missing(self, component: str) -> Sentences:
        """Return the sentences about a required component without a verdict."""
        message = f"the required component '{to_printable(component)}' has no verdict"
        return message, f"run its marked tests: {self._commands.run_all(component)}"

    # --- parts of sentences ---------------------------------------------------------------------------------

    def _if_gone(self, key: Key) -> str:
        return f"if it no longer exists: {self._commands.forget(key)}"

    def _run(self, key: Key, entry: JsonObject) -> str:
        """Return the command that runs only this validation.

        A validation that was recorded by hand has no test: for it, the command records the result.
        """
        component, test_name = key
        if test_name == BACKUP:
            return f"run: {self._commands.import_backup()}"
        if is_rest(key):
            return f"run: {self._commands.run(())}"
        node_id = entry.get("node_id", test_name)
        if component == COLLECTION or ".py" in node_id or "::" in node_id:
            return f"run: {self._commands.run(clashing(key) or (node_id,))}"
        return f"check it and record what you see: {self._commands.record(key)}"


def _name(key: Key) -> str:
    component, test_name = key
    if is_rest(key):
        return REST
    if component == COLLECTION:
        return to_printable(test_name)
    return f"'{to_printable(test_name)}' of '{to_printable(component)}'"
