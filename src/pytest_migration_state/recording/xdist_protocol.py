"""What a worker of xdist hands to the controller at its end: the keys of its output."""

from __future__ import annotations

from typing import Any, Final

#: Notices for the user.
NOTICES: Final = "migration_state_notices"
#: The tests whose end xdist does not report, since pytest did not.
ENDED: Final = "migration_state_ended"
#: The validations of tests that were marked while they ran and then ended the worker's run.
ADDED: Final = "migration_state_added"


def worker_slot(node: Any) -> int:
    """Return the identity of a worker slot. A replacement worker reuses the same gateway spec."""
    return id(node.gateway.spec)
