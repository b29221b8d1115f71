"""Overrides: verdicts that no run recorded, in place of a failure that a run did record.

Such a verdict carries a mark, ``overridden``, which every report shows. A verdict of a later run has none.
Everything here is pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_migration_state.types import JsonObject


def mark(old: JsonObject | None, by: str, at: str, reason: str | None) -> JsonObject | None:
    """Return the mark of a verdict that no run recorded; ``None`` if it overrides nothing.

    The mark is handed on until a run records a verdict. A failed verdict carries it too, so that recording a
    failure and then a pass does not remove it. A passed verdict that is recorded again keeps the very mark
    that it has, unless a reason is given.

    :param old: the verdict that it replaces, as the document holds it; ``None`` or empty if there is none.
    :param by: who records it.
    :param at: when.
    :param reason: why; ``None`` if no reason was given.
    """
    if not old:
        return None
    earlier: JsonObject | None = old.get("overridden") or None
    if old["passed"] and (earlier is None or reason is None):
        return earlier
    if earlier is None and not old.get("run_id"):
        return None
    return {"by": by, "at": at, "reason": reason}


def mark_of(verdict: JsonObject) -> JsonObject | None:
    """Return the mark of a verdict in the document; ``None`` if it has none.

    ConvertTo-Json with its default depth writes the mark as text; the text is then its reason.
    """
    found = verdict.get("overridden") or None
    return {"by": None, "at": None, "reason": found} if isinstance(found, str) else found
