"""The sentences of blockers: what is wrong, and the command that fixes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_migration_state.domain.phases import TRANSITIONS, Phase
from pytest_migration_state.domain.policy import COLLECTION
from pytest_migration_state.domain.runs import REST, clashing, is_rest, run_in_words, run_name
from pytest_migration_state.text import first_line, to_printable
from pytest_migration_state.types import Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_migration_state.domain.commands import Commands
    from pytest_migration_state.types import JsonObject, Key, Liveness

#: The test name of the verdict on a container's backup.
BACKUP: Final = "backup"
#: A sentence that says what is wrong, and what to do about it.
Sentences = tuple[str, tuple[Step, ...]]


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
            return message, (Step("begin again", self._commands.begin_again()),)
        message = f"the phase is {phase}, and Completed can follow only Validation"
        return message, (Step("next", self._commands.go_to(TRANSITIONS[phase][0])),)

    def on_lost_entries(self, lost: str) -> Sentences:
        """Return the sentences about a log that has lost entries.

        :param lost: what is missing, in words.
        """
        fix = "restore the log from a copy if nothing was recorded since, or accept the state without them"
        return to_printable(first_line(lost)), (Step(fix, self._commands.accept()),)

    def on_failure(self, key: Key, verdict: JsonObject) -> Sentences:
        """Return the sentences about a failed verdict."""
        message = f"{name_of(key)} failed"
        if verdict.get("error_message"):
            message += f": {to_printable(first_line(verdict['error_message']))}"
        return message, (self._run(key, verdict, "fix it, then "), self._if_gone(key))

    def on_expected_failure(self, key: Key, verdict: JsonObject) -> Sentences:
        """Return the sentences about a test that failed as its xfail mark expects."""
        first = "fix it and remove the mark, or allow 'xfailed'; then "
        steps = (self._run(key, verdict, first), self._if_gone(key))
        return f"{name_of(key)} failed as its xfail mark expects", steps

    def on_stale(self, key: Key, verdict: JsonObject, process: JsonObject) -> Sentences:
        """Return the sentences about a verdict on an earlier process.

        :param process: the newest process of the component, as the document holds it.
        """
        started = "newest process"
        if process.get("process_id") is not None:
            started = f"process {process['process_id']}"
        message = f"{name_of(key)} was validated before its {started} was started"
        return message, (self._run(key, verdict, allow="stale"), self._if_gone(key))

    def on_outstanding(self, key: Key, entry: JsonObject, run: str | None, *, is_running: bool) -> Sentences:
        """Return the sentences about a validation without a verdict.

        :param run: the unfinished run that it waits for, in words; ``None`` if it waits for none.
        """
        detail = ""
        if entry.get("detail"):
            detail = f" ({to_printable(first_line(entry['detail']))})"
        first, allow = "", ""
        match entry["reason"]:
            case "deselected" if key[0] == COLLECTION:
                message, allow = f"{name_of(key)} was not looked at{detail}", "deselected"
            case "deselected":
                message, allow = f"{name_of(key)} was deselected and has never run{detail}", "deselected"
            case "skipped":
                message, allow = f"{name_of(key)} was skipped{detail}", "skipped"
                first = "fix what it waits for, then "
            case "collection_error":
                message, first = f"{to_printable(key[1])} could not be collected{detail}", "fix it, then "
            case _ if run is None:
                message = f"{name_of(key)} was selected to run and has no verdict{detail}"
            case _:
                message = f"{name_of(key)} has no verdict{detail}: {run}"
                first = "let it finish, or " if is_running else ""
        return message, (self._run(key, entry, first, allow), self._if_gone(key))

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
        return message, (Step(f"{first}, or", self._commands.forget((COLLECTION, run_name(run_id)))),)

    def on_no_verdicts(self) -> Sentences:
        """Return the sentences about a state without any verdict."""
        return "no validation has a verdict yet", (Step("run the marked tests", self._commands.run_all()),)

    def on_missing(self, component: str) -> Sentences:
        """Return the sentences about a required component without a verdict."""
        message = f"the required component '{to_printable(component)}' has no verdict"
        return message, (Step("run its marked tests", self._commands.run_all(component)),)

    # --- one fix for several blockers -----------------------------------------------------------------------

    def on_file(self, file: str, first: str, allow: str) -> Step:
        """Return what to do about several validations of one file.

        :param first: what to do before they are run again.
        :param allow: what may be allowed in place of it, quoted and separated by commas; empty: nothing.
        """
        return Step(f"{first}run", self._commands.run((file,)), _or_allow(allow))

    def on_records(self, component: str, first: str) -> Step:
        """Return what to do about several validations that were recorded by hand."""
        words = f"{first}check each and record what you see"
        return Step(words, self._commands.record((component, "TEST")), self._commands.or_failed)

    def on_collection(self, files: Sequence[str], first: str, allow: str) -> Step:
        """Return what to do about files that were not collected; all tests are run if no file is given."""
        return Step(f"{first}run", self._commands.run(files), _or_allow(allow))

    def on_runs(self, ended: Sequence[str]) -> Step:
        """Return what to do about several runs that have not finished.

        :param ended: the names of those that are not known to be alive.
        """
        if not ended:
            return Step("let them finish")
        words = "let those that are running finish, and run the same as the others again, or"
        return Step(words, self._commands.forget((COLLECTION, *ended)))

    def on_all_missing(self) -> Step:
        """Return what to do about several required components without a verdict."""
        return Step("run their marked tests", self._commands.run_all())

    # --- parts of sentences ---------------------------------------------------------------------------------

    def _if_gone(self, key: Key) -> Step:
        words = "if it no longer exists"
        if not _can_be_typed(*key):
            return Step(f"{words}, forget it by its exact name, which cannot be typed")
        # A name that is no longer on record would be a pattern.
        once = " (only once: then it would be a pattern)" if {"*", "?"} & set(key[1]) else ""
        return Step(words, self._commands.forget(key), once)

    def _run(self, key: Key, entry: JsonObject, first: str = "", allow: str = "") -> Step:
        """Return the command that runs only this validation.

        A validation that was recorded by hand has no test: for it, the command records the result.

        :param first: what to do before.
        :param allow: what may be allowed in place of it; empty: nothing.
        """
        words, command, rest = "run", "", ""
        file = file_of(key, entry)
        if key[1] == BACKUP:
            command = self._commands.import_backup()
        elif is_rest(key):
            command = self._commands.run(())
        elif file is not None:
            tests = clashing(key) or (entry.get("node_id", key[1]),)
            command = self._commands.run(tests if _can_be_typed(*tests) else ())
        elif _can_be_typed(*key):
            words, command = "check it and record what you see", self._commands.record(key)
            rest = self._commands.or_failed
        else:
            words = "check it and record what you see under its exact name, which cannot be typed"
        return Step(f"{first}{words}", command, rest + _or_allow(f"'{allow}'" if allow else ""))


def _can_be_typed(*names: str) -> bool:
    """Return True if names are printed as they are: a shell reads an escaped one as another name."""
    return all(to_printable(name) == name for name in names)


def _or_allow(allow: str) -> str:
    return f", or allow {allow}" if allow else ""


def file_of(key: Key, entry: JsonObject) -> str | None:
    """Return the file whose test a validation is; ``None`` if it was recorded by hand.

    :param entry: its verdict, or the outstanding validation.
    """
    component, test_name = key
    node_id = entry.get("node_id", test_name)
    if component == COLLECTION or ".py" in node_id or "::" in node_id:
        return str(node_id).partition("::")[0]
    return None


def name_of(key: Key) -> str:
    """Return a validation in words, as messages name it."""
    component, test_name = key
    if is_rest(key):
        return REST
    if component == COLLECTION:
        return to_printable(test_name)
    return f"'{to_printable(test_name)}' of '{to_printable(component)}'"
