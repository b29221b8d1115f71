"""Open files in a forked child.

Locks belong to open files, and a child shares the files of its parent. It must use neither.
"""

from __future__ import annotations

import os
import weakref
from typing import Final, Protocol


class HasFiles(Protocol):
    """An object that has files open."""

    def reset_after_fork(self) -> None:
        """Close the files, and forget what their users were doing."""


_open: Final[weakref.WeakSet[HasFiles]] = weakref.WeakSet()


def reset_in_child(files: HasFiles) -> None:
    """Have the files of an object reset in every child that is forked from now on."""
    _open.add(files)


def _after_fork() -> None:
    for files in list(_open):
        files.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
