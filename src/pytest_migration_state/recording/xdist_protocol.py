"""Values shared with xdist: the keys of a worker's output, and the identity and crash of a worker."""

from __future__ import annotations

from typing import Any, Final

#: The phase in xdist's own report of a test whose worker died. Not Final: pytest's types have no such phase,
#: so mypy would reject a comparison with it.
CRASHED = "???"
#: Notices for the user.
NOTICES: Final = "migration_state_notices"
#: The tests whose end xdist does not report, because pytest did not report it.
ENDED: Final = "migration_state_ended"
#: The validations of tests that were marked while they ran and then ended the run of their worker.
ADDED: Final = "migration_state_added"


def worker_slot(node: Any) -> int:
    """Return the identity of a worker slot. A replacement worker reuses the same gateway spec."""
    return id(node.gateway.spec)
