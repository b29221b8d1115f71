"""Errors that only the command line raises."""

from __future__ import annotations


class UsageError(Exception):
    """Invalid command line, or invalid input to ``apply``; the message is one sentence."""


class LineError(Exception):
    """A line of the input to ``apply`` that could not be carried out.

    :ivar number: the line's number, counted from 1.
    :ivar cause: the error that a single command would have raised.
    """

    def __init__(self, number: int, cause: Exception) -> None:
        super().__init__(number, cause)
        self.number = number
        self.cause = cause
