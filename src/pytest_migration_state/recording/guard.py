"""A decorator for hooks that must never end the run."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol, TypeVar

import pytest

from pytest_migration_state.text import error_in_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_migration_state.recording.nested import RecordingProcess

#: Exceptions that a hook must not raise. pytest-timeout may raise its failure inside a hook too, while the
#: state is locked.
ANYTHING = (Exception, pytest.fail.Exception)


class Guarded(Protocol):
    """A plugin object whose hooks are guarded."""

    process: RecordingProcess

    def add_problem(self, problem: str) -> None:
        """Report a problem of the recording at the end."""


G = TypeVar("G", bound=Guarded)
P = ParamSpec("P")
R = TypeVar("R")


def guarded(hook: Callable[Concatenate[G, P], R]) -> Callable[Concatenate[G, P], R | None]:
    """Return a hook that never ends the run.

    An error in the hook is reported at the end, and raises the exit status.

    In a process that a test forked, the hook does nothing: only the original process records.
    """

    @functools.wraps(hook)
    def guard(self: G, /, *args: P.args, **kwargs: P.kwargs) -> R | None:
        if not self.process.is_current:
            return None
        try:
            return hook(self, *args, **kwargs)
        except ANYTHING as error:  # the tests must go on
            self.add_problem(error_in_words(error))
            return None

    return guard
