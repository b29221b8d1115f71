"""Blockers in words: what is wrong, and the command that deals with it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from pytest_migration_state.domain.policy import COLLECTION
from pytest_migration_state.domain.runs import REST, is_rest, run_in_words, run_name
from pytest_migration_state.text import first_line, to_printable

if TYPE_CHECKING:
    from pytest_migration_state.types import JsonObject, Key, Liveness

#: The test name of the verdict on a container's backup.
BACKUP: Final = "backup"
#: What is wrong, and what to do about it.
Sentences = tuple[str, str]


class Advice:
    """The sentences of blockers.

    :param state: the address of the state as a person would type it.
    """

    def __init__(self, state: str) -> None:
        self._state = shlex.quote(state)

    # --- what is wrong, and the fix -------------------------------------------------------------------------

    def on_failure(self, key: Key, verdict: JsonObject) -> Sentences:
        """Return the sentences about a failed verdict."""
        message = f"{_name(key)} failed"
        if verdict.get("error_message"):
            message += f": {to_printable(first_line(verdict['error_message']))}"
        return message, f"fix it, then {self._run(key, verdict)}"

    def on_expected_failure(self, key: Key, verdict: JsonObject) -> Sentences:
        """Return the sentences about a test that failed as its xfail mark expects."""
        fix = f"fix it and remove the mark, or allow 'xfailed'; then {self._run(key, verdict)}"
        return f"{_name(key)} failed as its xfail mark expects", fix

    def on_outstanding(self, key: Key, entry: JsonObject, run: str | None) -> Sentences:
        """Return the sentences about a validation without a verdict.

        :param run: the unfinished run that it waits for, in words; ``None`` if it waits for none.
        """
        detail = ""
        if entry.get("detail"):
            detail = f" ({to_printable(first_line(entry['detail']))})"
        if run:
            detail += f": {run}"
        again, forget = self._run(key, entry), f"if it no longer exists: {self._forget(key)}"
        match entry["reason"]:
            case "deselected" if key[0] == COLLECTION:
                return f"{_name(key)} was not looked at{detail}", f"{again}, or allow 'deselected'; {forget}"
            case "deselected":
                return (
                    f"{_name(key)} was deselected and has never run{detail}",
                    f"{again}, or allow 'deselected'",
                )
            case "skipped":
                fix = f"fix what it waits for, then {again}, or allow 'skipped'; {forget}"
                return f"{_name(key)} was skipped{detail}", fix
            case "collection_error":
                return (
                    f"{to_printable(key[1])} could not be collected{detail}",
                    f"fix it, then {again}; {forget}",
                )
            case _:
                return f"{_name(key)} was selected to run and has no verdict{detail}", f"{again}; {forget}"

    def on_unfinished_run(
        self, run_id: str, run: JsonObject, liveness: Liveness, *, is_own: bool
    ) -> Sentences:
        """Return the sentences about a run that is alive, or ended before its plan was recorded.

        :param is_own: whether the run itself asks.
        """
        message = run_in_words(run_id, run, liveness)
        if is_own:
            message = f"{run_name(run_id)}, this one, ended before it was known which tests it would run"
        first = "let it finish" if liveness == "alive" and not is_own else "run the same again"
        return message, f"{first}, or: {self._forget((COLLECTION, run_name(run_id)))}"

    def on_missing(self, component: str) -> Sentences:
        """Return the sentences about a required component without a verdict."""
        message = f"the required component '{to_printable(component)}' has no verdict"
        return message, self.run_all("run its marked tests")

    # --- parts of them --------------------------------------------------------------------------------------

    def run_all(self, what: str) -> str:
        """Return the command that runs all tests."""
        return f"{what}: pytest --migration-state={self._state}"

    def _forget(self, key: Key) -> str:
        return f"migration-state forget -s {self._state} {_quoted(key[0])} {_quoted(key[1])} --reason TEXT"

    def _run(self, key: Key, entry: JsonObject) -> str:
        """Return the command that runs just this validation. One recorded by hand has no test to run."""
        component, test_name = key
        if test_name == BACKUP:
            return f"run: migration-state import-backup -s {self._state} MANIFEST"
        if is_rest(key):
            return self.run_all("run")
        node_id = entry.get("node_id", test_name)
        if component == COLLECTION or ".py" in node_id or "::" in node_id:
            return f"run: pytest --migration-state={self._state} {_quoted(node_id)}"
        names = f"{_quoted(component)} {_quoted(test_name)}"
        return f"check it and record what you see: migration-state result -s {self._state} {names} --passed (or --failed)"


def _name(key: Key) -> str:
    component, test_name = key
    if is_rest(key):
        return REST
    if component == COLLECTION:
        return to_printable(test_name)
    return f"'{to_printable(test_name)}' of '{to_printable(component)}'"


def _quoted(text: str) -> str:
    return shlex.quote(to_printable(text))
