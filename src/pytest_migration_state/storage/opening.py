"""Opening the store of a state. This is the only module that imports a concrete store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_migration_state.storage.base import DEFAULT_TIMEOUT
from pytest_migration_state.storage.files.store import FileStore

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from pytest_migration_state.storage.base import StateStore


def located(address: str, folder: Path) -> Path:
    """Return an address as one that does not depend on the working directory.

    :param folder: what a path is relative to.
    """
    return folder / Path(address).expanduser()


def open_store(
    address: str | os.PathLike[str],
    *,
    run_id: str | None = None,
    lock_timeout: float = DEFAULT_TIMEOUT,
    notify: Callable[[str], None],
    on_wait: Callable[[str], None] | None = None,
) -> StateStore:
    """Return the store of the state at ``address``. Nothing is read or written yet.

    :param address: a path.
    :param run_id: the run that the entries in the audit log belong to, or ``None``.
    :param lock_timeout: how long to wait for another writer, in seconds.
    :param notify: called with a sentence about what a person should know although the work goes on.
    :param on_wait: called, at once, with a sentence about who is waited for; ``None``: ``notify``.
    :raises StateDamagedError: no state can be at this address.
    """
    return FileStore(
        Path(address),
        run_id=run_id,
        lock_timeout=lock_timeout,
        notify=notify,
        on_wait=on_wait,
    )
