"""Acceptances: who accepted the state as its document holds it, although its record is not whole.

Everything here is pure: what is wrong with the record is found by the verification.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_migration_state.domain.events import Event
from pytest_migration_state.errors import NothingToAcceptError
from pytest_migration_state.text import and_more

if TYPE_CHECKING:
    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.types import JsonObject

#: The key of an entry's data that names the lines of the log that were accepted. It has no effect on the
#: document.
ACCEPTED_LOG: Final = "accepted_log"
#: How many sentences an acceptance names; the rest are counted.
_NAMED: Final = 5


class Findings(NamedTuple):
    """What a verification found that can be accepted.

    :ivar sentences: what is wrong, in words.
    :ivar lines: how many lines of the log it has seen, counted from the first.
    :ivar digest: the SHA-256 of these lines, in lower-case hex.
    """

    sentences: tuple[str, ...] = ()
    lines: int = 0
    digest: str = ""


#: The findings of a verification that found nothing.
NOTHING_FOUND: Final = Findings()


def record_accepted(document: Document, findings: Findings, now: str, by: str, reason: str) -> Event:
    """Return the event after which a record that is not whole no longer keeps the gate shut.

    :raises NothingToAcceptError: nothing is wrong with it.
    """
    sentences = findings.sentences
    if not sentences and document.lost_entries:
        sentences = (document.lost_entries,)
    if not sentences:
        raise NothingToAcceptError
    shown, more = and_more(sentences, _NAMED)
    what = "; ".join([*shown, *more])
    accepted = [*acceptances(document), {"by": by, "at": now, "reason": reason, "what": what}]
    data = {
        "metadata": {"lost_entries": None, "accepted": accepted},
        ACCEPTED_LOG: {"lines": findings.lines, "sha256": findings.digest},
    }
    details = f"{by} accepts the state as the document has it ({reason}): {what}"
    return Event("RecordAccepted", details, data, "WARNING")


def acceptances(document: Document) -> list[JsonObject]:
    """Return the acceptances of a state. What another program has made of them is passed over."""
    found = document.metadata.get("accepted")
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
