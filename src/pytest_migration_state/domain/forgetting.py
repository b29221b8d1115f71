"""What a request to forget means: validations and unfinished runs, by their names or by patterns."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from pytest_migration_state.domain import events
from pytest_migration_state.domain.policy import COLLECTION
from pytest_migration_state.domain.runs import run_name
from pytest_migration_state.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.events import Event
    from pytest_migration_state.domain.gate import Context


def forget(
    document: Document, component: str, tests: Iterable[str], reason: str, context: Context
) -> list[Event]:
    """Return an event for each validation and each unfinished run that is forgotten.

    :param tests: names and patterns, see :meth:`_Record.names_meant`.
    :raises InvalidArgumentError: one of them means nothing.
    """
    record = _Record(document, component, context)
    names = dict.fromkeys(name for test in tests for name in record.names_meant(test))
    return [record.event(name, reason) for name in names]


def name_in(event: Event) -> str:
    """Return the name of the validation or run that an event of :func:`forget` removes."""
    if "forgotten" in event.data:
        return str(event.data["forgotten"][0]["test_name"])
    (run_id,) = event.data["metadata"]["open_runs"]
    return run_name(run_id)


class _Record:
    """What is on record of one component."""

    def __init__(self, document: Document, component: str, context: Context) -> None:
        self._document = document
        self._component = component
        self._context = context
        runs = document.open_runs if component == COLLECTION else ()
        self._runs = {run_name(run_id): run_id for run_id in runs}

    def event(self, name: str, reason: str) -> Event:
        """Return the event that removes a validation or a run."""
        if name in self._runs:
            return events.run_forgotten(self._runs[name], reason)
        return events.forgotten(self._component, name, reason)

    def names_meant(self, test: str) -> list[str]:
        """Return the names on record that a name or a pattern means.

        A name on record means just that one. In any other, ``*`` stands for any text and ``?`` for one
        character. A run that is alive is meant only by its name.

        :raises InvalidArgumentError: it means nothing.
        """
        if test in self._runs or self._document.is_known((self._component, test)):
            return [test]
        if not ("*" in test or "?" in test):
            raise self._unknown(test, "of this name")
        known = list(self._names())
        if not known:
            reason = "it has neither a verdict nor an outstanding validation"
            raise InvalidArgumentError("component", self._component, reason)
        # In parametrized names [ and ] are common, so they are no wildcards.
        pattern = test.replace("[", "[[]")
        found = [name for name in known if fnmatchcase(name, pattern)]
        running = [name for name in found if self._is_running(name)]
        if found and found == running:
            reason = f"it matches only {found[0]}, which is running now and is forgotten only by its name"
            raise InvalidArgumentError("test_name", test, reason)
        if not found:
            raise self._unknown(test, "that matches it")
        return [name for name in found if name not in running]

    def _names(self) -> Iterator[str]:
        """Yield every name on record. One that has a verdict and is outstanding comes twice."""
        for keys in (self._document.verdicts, self._document.outstanding):
            yield from (name for component, name in keys if component == self._component)
        yield from self._runs

    def _is_running(self, name: str) -> bool:
        return name in self._runs and self._context.liveness_of(self._runs[name]) == "alive"

    def _unknown(self, test: str, which: str) -> InvalidArgumentError:
        reason = f"'{self._component}' has neither a verdict nor an outstanding validation {which}"
        return InvalidArgumentError("test_name", test, reason)
