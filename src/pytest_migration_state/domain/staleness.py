"""Stale verdicts: verdicts on a process in whose place a newer one was started.

A verdict of component C is stale when a native process named C was recorded after it. The entry that records
the process says so, in its data: ``stale`` names the component, and the verdicts that exist at that moment
get the key ``stale_since``. So the order of entries decides, and no clock. A new verdict does not have the
key, which settles it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_migration_state.domain.advice import BACKUP

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pytest_migration_state.types import JsonObject, Key


def is_stale(verdict: JsonObject) -> bool:
    """Return True if a newer process was recorded after the verdict."""
    return bool(verdict.get("stale_since"))


def becoming_stale(
    verdicts: Mapping[Key, JsonObject], component: str, but: Collection[str] = ()
) -> list[Key]:
    """Return the verdicts that become stale when a process of a component is recorded.

    A backup is that of the container: no process makes its verdict stale.

    :param verdicts: the verdicts of the document at that moment.
    :param but: the names of tests whose verdicts are about the newer process.
    """
    return [
        key
        for key, verdict in verdicts.items()
        if key[0] == component and key[1] not in {BACKUP, *but} and not is_stale(verdict)
    ]
