"""What the plugin keeps in pytest's ``config.stash``, and what it learns from an exit status."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from pytest_migration_state import MigrationTracker

    class Recording(Protocol):
        """A recorded run, as the entry point needs to know it."""

        has_reported: bool

        @property
        def is_sound(self) -> bool:
            """Whether the run did all that it was asked to."""

        @property
        def why_not_sound(self) -> str | None:
            """What the run was asked to do and has not done, in words."""


#: Returns the tracker that the fixture provides; present only in a run that is recorded.
tracker_key: pytest.StashKey[Callable[[], MigrationTracker]] = pytest.StashKey()
#: The recorded run; present only with ``--migration-state``.
recorder_key: pytest.StashKey[Recording] = pytest.StashKey()


def says_success(status: int | pytest.ExitCode | None) -> bool:
    """Return True if the run will be taken for a successful one.

    The system keeps the last byte only: 256 is seen as 0.
    """
    return not (status or 0) % 256
