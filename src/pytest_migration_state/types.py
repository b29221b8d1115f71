"""Value types that every room shares."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

#: The identity of a validation: (component, test name).
Key = tuple[str, str]
#: A decoded JSON object.
JsonObject = dict[str, Any]

#: Whether the process of a run still exists. ``unknown``: it is on another machine, or nothing can be learned
#: of it.
Liveness = Literal["alive", "dead", "unknown"]

BlockerKind = Literal["no_verdicts", "failed", "xfailed", "outstanding", "missing_component"]


@dataclass(frozen=True, slots=True)
class Blocker:
    """One reason for the gate to stay shut.

    :ivar kind: one of :data:`BlockerKind`.
    :ivar component: the component that it concerns, or ``None``.
    :ivar test_name: the validation that it concerns, or ``None``.
    :ivar message: what is wrong.
    :ivar fix: what to do about it: a command, with a remark where one is needed.
    """

    kind: BlockerKind
    component: str | None
    test_name: str | None
    message: str
    fix: str

    def to_object(self) -> JsonObject:
        """Return the blocker as a JSON object."""
        return asdict(self)
