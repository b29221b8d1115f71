"""Requests become events: several at once, each decided on the state as those before have left it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_migration_state.domain import events
from pytest_migration_state.domain.arguments import require_bool
from pytest_migration_state.domain.operations import INITIALIZE, parse_request
from pytest_migration_state.errors import InvalidArgumentError, MigrationStateError, StateExistsError
from pytest_migration_state.text import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.events import Event
    from pytest_migration_state.domain.gate import Context
    from pytest_migration_state.domain.operations import Request
    from pytest_migration_state.storage.base import StateStore


def parse_all(requests: Iterable[Mapping[str, Any]]) -> list[Request]:
    """Return what the requests ask for.

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


def decide_all(
    requests: list[Request],
    document: Document,
    store: StateStore,
    context_of: Callable[[Document], Context],
    *,
    exists: bool,
) -> list[Event]:
    """Return the events that the requests become. ``document`` is not changed.

    :param context_of: returns what the gate must know besides the state and the policy.
    :param exists: whether there is a state already.
    :raises MigrationStateError: one is refused; its ``position`` says which.
    """
    now = utc_now()
    draft = document.copy() if len(requests) > 1 else document
    decided: list[Event] = []
    for position, request in enumerate(requests, 1):
        try:
            if request.operation == INITIALIZE:
                _check_initialize(request, store, exists=exists)
                event = store.beginning(now)
            else:
                event = request.decide(draft, now, context_of)
        except MigrationStateError as error:
            error.position = position
            raise
        exists = True
        decided.append(event)
        if position < len(requests):
            events.apply(draft, event.data, now)
    return decided


def _check_initialize(request: Request, store: StateStore, *, exists: bool) -> None:
    force = require_bool("force", request.arguments.get("force", False))
    if exists and not force:
        reason = "there is a migration state already; use it, or set it aside with --force"
        raise StateExistsError(store.address, reason)
