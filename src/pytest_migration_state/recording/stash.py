"""The keys of the plugin in pytest's ``config.stash``, and the meaning of an exit status."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from pytest_migration_state import MigrationTracker

    class Recording(Protocol):
        """The part of a recorded run that the entry point uses."""

        has_reported: bool

        @property
        def is_sound(self) -> bool:
            """True if the run did everything that was requested."""

        @property
        def why_not_sound(self) -> str | None:
            """The reason why the run is not sound; ``None`` if it is."""


#: Returns the tracker that the fixture provides; present only in a run that is recorded.
tracker_key: pytest.StashKey[Callable[[], MigrationTracker]] = pytest.StashKey()
#: The recorded run; present only with ``--migration-state``.
recorder_key: pytest.StashKey[Recording] = pytest.StashKey()


def says_success(status: int | pytest.ExitCode | None) -> bool:
    """Return True if the caller of pytest will see this exit status as success.

    The system keeps only the last byte of a status: 256 is seen as 0.
    """
    return not (status or 0) % 256
