"""Turning requests into events. Each is decided on the state that the requests before it lead to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pytest_migration_state.domain import events
from pytest_migration_state.domain.arguments import require_bool
from pytest_migration_state.domain.gate import evaluate
from pytest_migration_state.domain.operations import ACCEPT, INITIALIZE, VERDICT, parse_request
from pytest_migration_state.domain.phases import Phase
from pytest_migration_state.errors import (
    InvalidArgumentError,
    MigrationStateError,
    StateDamagedError,
    StateExistsError,
    StateVersionError,
)
from pytest_migration_state.importing import importing
from pytest_migration_state.storage.identity import this_actor
from pytest_migration_state.text import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.events import Event
    from pytest_migration_state.domain.gate import Context
    from pytest_migration_state.domain.operations import Request
    from pytest_migration_state.storage.base import StateStore


#: The operations of which the last decides if a verdict came after the end of the migration.
_LATE: Final = (VERDICT, "set_phase")


def parse_all(requests: Iterable[Mapping[str, Any]]) -> list[Request]:
    """Return the requests with their names checked.

    :raises InvalidArgumentError: one is invalid; its ``position`` says which.
    """
    parsed = []
    for position, request in enumerate(requests, 1):
        try:
            parsed.append(parse_request(request))
        except InvalidArgumentError as error:
            error.position = position
            raise
    return parsed


def with_findings(requests: list[Request], store: StateStore) -> list[Request]:
    """Return the requests. One that accepts the record gets what a verification finds now.

    :raises MigrationStateError: the document cannot be used, or the log cannot be read.
    """
    if not any(request.operation == ACCEPT for request in requests) or requests[0].operation == INITIALIZE:
        return requests
    with importing:
        from pytest_migration_state.verification.findings import findings_of

    found = findings_of(store)
    return [
        request._replace(arguments={**request.arguments, "findings": found})
        if request.operation == ACCEPT
        else request
        for request in requests
    ]


def decide_all(
    requests: list[Request],
    document: Document,
    store: StateStore,
    context_of: Callable[[Document], Context],
    *,
    exists: bool,
) -> list[Event]:
    """Return the events that the requests become. ``document`` is not changed.

    :param context_of: returns the gate's context for a document.
    :param exists: whether there is a state already.
    :raises MigrationStateError: one is refused; its ``position`` says which.
    """
    now = utc_now()
    actor = this_actor()
    draft = document.copy() if len(requests) > 1 else document
    decided: list[Event] = []
    for position, request in enumerate(requests, 1):
        try:
            if request.operation == INITIALIZE:
                _check_initialize(request, store, exists=exists)
                own = [store.beginning(now)]
            else:
                own = request.decide(draft, now, context_of, actor)
        except MigrationStateError as error:
            error.position = position
            raise
        exists = True
        decided += own
        if position < len(requests):
            for event in own:
                events.apply(draft, event.data, now)
    return decided


def late_verdicts(
    requests: list[Request], document: Document, context_of: Callable[[Document], Context]
) -> Iterator[str]:
    """Yield a warning if a verdict was recorded after the end of the migration.

    It changes nothing in a migration that is rolled back, and may have shut the gate of a Completed one.
    """
    # A later change of the phase was decided with the verdict.
    last = next((request.operation for request in reversed(requests) if request.operation in _LATE), None)
    if last != VERDICT:
        return
    if document.phase is Phase.ROLLED_BACK:
        yield "the migration is rolled back: the result changes nothing"
    elif document.phase is Phase.COMPLETED and not (gate := evaluate(document, None, context_of(document))):
        yield f"the migration is Completed, and its gate is shut: {gate.blockers[0].message}"


def _check_initialize(request: Request, store: StateStore, *, exists: bool) -> None:
    force = require_bool("force", request.arguments.get("force", False))
    if exists and not force:
        raise StateExistsError(store.address, _existing(store))


def _existing(store: StateStore) -> str:
    """Return what is there already, and what to do, in words."""
    try:
        store.checkpoint()
    except StateDamagedError as error:
        what, _, _ = error.reason.partition(". ")
        fix = "restore it if it was one, name another file for the state, or set this one aside with --force"
        return f"there is a file already, but {what}; {fix}"
    except StateVersionError:
        pass
    return "there is a migration state already; use it, or set it aside with --force"
