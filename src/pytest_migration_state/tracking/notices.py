"""Sentences about a state that a user should read although the work goes on."""

from __future__ import annotations

import inspect
import warnings
from collections import deque
from typing import TYPE_CHECKING

from pytest_migration_state.errors import MigrationStateWarning

if TYPE_CHECKING:
    from collections.abc import Callable

_PACKAGE = __name__.partition(".")[0]


class Notices:
    """Notices that are passed on after the work: a warning may be made an error, and must not stop it.

    :param notify: called with each notice; ``None``: a :class:`~pytest_migration_state.MigrationStateWarning`
        is issued.
    """

    def __init__(self, notify: Callable[[str], None] | None) -> None:
        self._notify = notify
        self._waiting: deque[str] = deque()

    def add(self, notice: str) -> None:
        """Add a notice, to be passed on after the work."""
        self._waiting.append(notice)

    def pass_on_now(self, notice: str) -> None:
        """Pass a notice on at once, if there is a function for it."""
        if self._notify:
            self._notify(notice)

    def pass_on(self) -> None:
        """Pass the notices on, in their order."""
        while self._waiting:
            notice = self._waiting.popleft()
            if self._notify:
                self._notify(notice)
            else:
                warnings.warn(notice, MigrationStateWarning, stacklevel=_callers_level())


def _callers_level() -> int:
    """Return the ``stacklevel`` of the code that called into this package."""
    frame = inspect.currentframe()
    level = 0
    while frame and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        frame, level = frame.f_back, level + 1
    return level
