"""Value types that all subpackages share."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

#: The identity of a validation: (component, test name).
Key = tuple[str, str]
#: A decoded JSON object.
JsonObject = dict[str, Any]

#: The liveness of a run: whether its process holds the lock of its journal. ``unknown``: it runs on another
#: machine, or nothing can be found out about it.
Liveness = Literal["alive", "dead", "unknown"]


def key_of(named: JsonObject) -> Key:
    """Return the identity of the validation that a verdict, or an outstanding validation, names."""
    return named["component"], named["test_name"]


def as_object(value: object) -> JsonObject:
    """Return a JSON object; an empty one if another program has put something else in its place."""
    if isinstance(value, dict):
        return value
    return {}


class Step(NamedTuple):
    """One way to deal with a blocker.

    :ivar words: what to do.
    :ivar command: the command that does it; empty if there is none.
    :ivar rest: what is to be said after the command, with its punctuation.
    """

    words: str
    command: str = ""
    rest: str = ""

    def in_words(self) -> str:
        """Return the step as a part of a sentence."""
        if not self.command:
            return self.words
        return f"{self.words}: {self.command}{self.rest}"


def fix_of(steps: tuple[Step, ...]) -> str:
    """Return steps as the one sentence that a blocker's ``fix`` is."""
    return "; ".join(step.in_words() for step in steps)


class Blocker(NamedTuple):
    """One reason for the gate to stay shut.

    :ivar kind: what it is, in one word; the rules of the gate name them.
    :ivar component: the component that it concerns, or ``None``.
    :ivar test_name: the validation that it concerns, or ``None``.
    :ivar message: what is wrong.
    :ivar fix: what to do about it: a command, with a remark where one is needed.
    :ivar steps: the parts of ``fix``, for output that sets commands apart; empty if it has no parts.
    """

    kind: str
    component: str | None
    test_name: str | None
    message: str
    fix: str
    steps: tuple[Step, ...] = ()

    def to_object(self) -> JsonObject:
        """Return the blocker as a JSON object."""
        described = self._asdict()
        del described["steps"]
        return described
