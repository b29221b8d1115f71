"""The result of a verification."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pytest_migration_state.types import JsonObject

ProblemKind = Literal[
    "changed",  # a line was modified or inserted, or is no longer JSON
    "missing",  # entries, the whole log or the document are missing
    "moved",  # a line is out of its place, or there twice
    "other_log",  # the log, or a part of it, belongs to something else
    "unlogged_changes",  # changes were made while the log could not be written
    "effect_missing",  # the document lacks the effect of a line
    "unexplained",  # no line explains what the document holds
    "completed_past_gate",  # Completed, and the gate is shut
]


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem that the verification found.

    :ivar kind: one of :data:`ProblemKind`.
    :ivar line: the line of the audit log that it concerns, counted from 1; ``None`` if it concerns none.
    :ivar message: a sentence for the operator; it names the line too.
    """

    kind: ProblemKind
    line: int | None
    message: str

    def to_object(self) -> JsonObject:
        """Return the problem as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The result of a verification.

    :ivar problems: the problems, in the order of the log's lines; those that concern no line come last.
    :ivar notes: remarks that are not problems.
    :ivar lines: how many lines the log has, whoever wrote them.
    :ivar entries: how many of them were written by this package.
    """

    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    lines: int
    entries: int

    @property
    def sound(self) -> bool:
        """True if there are no problems."""
        return not self.problems

    def to_object(self) -> JsonObject:
        """Return the report as a JSON object."""
        return {
            "sound": self.sound,
            "lines": self.lines,
            "entries": self.entries,
            "problems": [problem.to_object() for problem in self.problems],
            "notes": list(self.notes),
        }
