"""What the log tells that the document must hold, line by line.

Each line claims something: a value for one slot of the document (the phase, the verdict of one validation), or one more item
of a list. Later claims override earlier ones, whoever wrote them. The lines of other writers hold no data, only their words,
so what the document holds is put into the same words and compared with them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pytest_migration_state.core.document import loses_verdict, runs_of, waiting_for
from pytest_migration_state.core.phases import FINAL_PHASES, Phase
from pytest_migration_state.core.text import parse_time

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator
    from datetime import datetime

    from pytest_migration_state.core.document import Document, JsonObject

#: A place for one value: its kind, and what tells it from others of its kind.
Slot = tuple[str, ...]

#: What stands in a slot in which nothing stands.
ABSENT: Final[Any] = object()
#: What a line claims that does not tell the value.
ANYTHING: Final[Any] = object()
PHASE: Final = ("phase",)
ROLLBACK: Final = ("rollback_available",)
ERROR: Final = ("error",)
COMPLETED_AT: Final = ("completed_at",)
STARTED_AT: Final = ("started_at",)
MIGRATION: Final = ("migration_id",)
LISTS: Final = {"docker_containers_removed": "removed_at", "native_processes_started": "started_at"}
#: How long another program may take between the start of a migration that it writes to the document and its line about it.
_BEGINNING: Final = timedelta(seconds=60)


class Claim(NamedTuple):
    """What one line tells.

    :ivar line: its number; 0 where it stands in another log.
    :ivar time: its timestamp, as it is written.
    :ivar ours: it is an entry of ours, and ``value`` is its data; else a value as far as the words of the line tell it.
    :ivar binds: the document must hold it; else it may.
    """

    line: int
    time: str | None
    value: Any
    ours: bool
    binds: bool = True


# --- the document's side ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Holdings:
    """What a document holds, by slot and by words."""

    slots: dict[Slot, Any]
    items: dict[Slot, list[JsonObject]]

    @classmethod
    def of(cls, document: Document) -> Holdings:
        fields = document.fields
        slots: dict[Slot, Any] = {
            PHASE: fields["phase"],
            ROLLBACK: document.rollback_available,
            ERROR: fields["error"],
            COMPLETED_AT: fields["completed_at"],
            STARTED_AT: fields["started_at"],
            MIGRATION: document.metadata.get("migration_id"),
        }
        slots.update((("data", plain(key)), path) for key, path in fields["data_preserved"].items())
        slots.update((("verdict", *map(plain, key)), verdict) for key, verdict in document.verdicts.items())
        slots.update((("outstanding", *map(plain, key)), entry) for key, entry in document.outstanding.items())
        items: dict[Slot, list[JsonObject]] = {}
        for kind in LISTS:
            for item in fields[kind]:
                items.setdefault((kind, _words(kind, item)), []).append(item)
        return cls(slots, items)


def _words(kind: str, item: JsonObject) -> str:
    """An item of a list, in the words of the line that tells of it."""
    if kind == "native_processes_started":
        return plain(f"Native process '{item['name']}' started")
    return plain(f"Container '{item['name']}' ({item.get('id')}) marked as removed")


_DATE_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?")


def plain(text: str) -> str:
    """``text`` with its dates in one form: PowerShell 7 reads a text that is a date as one, and prints it in its own way."""
    return _DATE_TIME.sub(lambda found: _date(found[0]), text)


def _date(text: str) -> str:
    found = moment(text)
    try:
        return found.astimezone(UTC).isoformat() if found else text
    except OverflowError:
        # The first and the last day that there are have no other time zone.
        return text


def moment(text: object) -> datetime | None:
    try:
        return parse_time(text) if isinstance(text, str) else None
    except ValueError:
        return None


# --- the log's side ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Account:
    """What the lines told so far, of the migration that the document is about.

    :ivar started_at: when that migration began, as the document says.
    :ivar migration_id: its id, as the document says; ``None`` where it has none.
    :ivar known: slots that the document has.
    :ivar is_whole: every change since the migration began is told.
    :ivar begun_at: the line that tells of its beginning; 0 where none does.
    :ivar other_beginning: our entry that tells of the beginning of another one, where this one's did not follow; else 0.
    :ivar later_beginnings: what tells, after this one's beginning, that another program began one.
    :ivar unfinished: the runs that have begun and not finished, by their id.
    :ivar forgotten_at: the last line at which what stood before it was no longer the whole story; 0 where none was.
    """

    started_at: str | None
    migration_id: str | None
    known: Container[Slot] = ()
    claims: dict[Slot, list[Claim]] = field(default_factory=dict)
    items: dict[Slot, list[Claim]] = field(default_factory=dict)
    is_whole: bool = False
    begun_at: int = 0
    other_beginning: int = 0
    later_beginnings: list[Claim] = field(default_factory=list)
    forgotten_at: int = 0
    unfinished: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, held: Holdings) -> Account:
        """The empty account of the migration that a document with these holdings is about."""
        return cls(held.slots.get(STARTED_AT), held.slots.get(MIGRATION), held.slots)

    def forget(self, line: int) -> None:
        """What was told before ``line`` is no longer the whole story."""
        self._clear()
        self.forgotten_at = line

    def _clear(self) -> None:
        self.claims.clear()
        self.items.clear()
        self.is_whole = False

    def _claim(self, slot: Slot, claim: Claim, value: object) -> None:
        self.claims.setdefault(slot, []).append(claim._replace(value=value))

    # --- our entries: their data tell all ---

    def tell(self, line: int, time: str | None, data: JsonObject) -> None:
        """Take an entry of ours; the meaning is that of :func:`~pytest_migration_state.core.events.apply`."""
        claim = Claim(line, time, None, ours=True)
        if "initialize" in data:
            self._begin_ours(claim, data["initialize"])
        for slot in (PHASE, COMPLETED_AT, ROLLBACK, ERROR):
            if slot[0] in data:
                self._claim(slot, claim, data[slot[0]])
        for key, path in data.get("data_preserved", {}).items():
            self._claim(("data", plain(key)), claim, ABSENT if path is None else path)
        for kind in LISTS:
            for item in data.get(kind, ()):
                self.items.setdefault((kind, _words(kind, item)), []).append(claim._replace(value=item))
        for entry in data.get("outstanding_validations", ()):
            self._claim(_of("outstanding", entry), claim, entry)
            # Where the log does not tell the phase, as behind the document of another tool, the verdict may have been kept.
            if loses_verdict(entry, self._last(PHASE) or Phase.COMPLETED):
                self._claim(_of("verdict", entry), claim, ABSENT)
        for verdict in data.get("validation_results", ()):
            self._claim(_of("verdict", verdict), claim, verdict)
            self._claim(_of("outstanding", verdict), claim, self._still_waiting(verdict))
        for gone in data.get("forgotten", ()):
            self._claim(_of("verdict", gone), claim, ABSENT)
            self._claim(_of("outstanding", gone), claim, ABSENT)
        metadata = data.get("metadata", {})
        for run_id, run in metadata.get("open_runs", {}).items():
            (self.unfinished.discard if run is None else self.unfinished.add)(run_id)
        if "unlogged_changes" in metadata:
            self.forget(line)

    def _last(self, slot: Slot) -> object:
        """What was told last of a slot; ``None`` where nothing was."""
        claims = self.claims.get(slot)
        return claims[-1].value if claims else None

    def _still_waiting(self, verdict: JsonObject) -> object:
        """What a verdict leaves outstanding of its validation: what other runs that have not finished are to give."""
        entry = self._last(_of("outstanding", verdict))
        if not isinstance(entry, dict) or not verdict.get("run_id"):
            return ABSENT
        waiting = [run_id for run_id in runs_of(entry) if run_id != verdict["run_id"] and run_id in self.unfinished]
        return waiting_for(entry, waiting) if waiting else ABSENT

    def _begin_ours(self, claim: Claim, new: JsonObject) -> None:
        self._clear()
        self.is_whole = new["migration_id"] == self.migration_id
        self.begun_at, self.other_beginning = (claim.line, 0) if self.is_whole else (0, claim.line)
        self.forgotten_at, self.later_beginnings = 0, []
        self._claim(STARTED_AT, claim, new["started_at"])
        self._claim_nothing_yet(claim)

    def _claim_nothing_yet(self, claim: Claim) -> None:
        for slot, value in ((PHASE, Phase.NOT_STARTED.value), (COMPLETED_AT, None), (ROLLBACK, True), (ERROR, None)):
            self._claim(slot, claim, value)

    # --- lines of other writers: their words tell ---

    def tell_words(self, line: int, content: JsonObject) -> None:
        """Take a line that another program wrote. ``line`` 0: it stands in another log and may be about another state."""
        action, details, time = content.get("action"), content.get("details"), content.get("timestamp")
        if not (isinstance(action, str) and isinstance(details, str)):
            return
        claim = Claim(line, time if isinstance(time, str) else None, None, ours=False, binds=line > 0)
        match action:
            case "Initialize":
                self._begin_other(claim)
            case "ContainerProcessed":
                self.items.setdefault(("docker_containers_removed", plain(details)), []).append(claim)
            case "ProcessStarted":
                self.items.setdefault(("native_processes_started", plain(details)), []).append(claim)
            case "Error":
                # The functions write level INFO; what an operator logs in his own words under this name changes nothing.
                self._claim(ERROR, claim._replace(binds=claim.binds and content.get("level") == "INFO"), {"message": details})
            case _:
                for slot, value in self._in_words(action, details):
                    self._claim(slot, claim, value)

    def _in_words(self, action: str, details: str) -> Iterator[tuple[Slot, object]]:
        match action:
            case "PhaseTransition" if (found := _TRANSITION.match(details)) and found[1] in tuple(Phase):
                yield PHASE, found[1]
                if found[1] in FINAL_PHASES:
                    # At which moment, its line does not tell.
                    yield COMPLETED_AT, ANYTHING
            case "RollbackAvailability" if details in _ROLLBACK_WORDS:
                yield ROLLBACK, _ROLLBACK_WORDS[details]
            case "DataPreserved":
                for key, path in self._split(details, "Data '", "' preserved at '", "'", lambda key, _: ("data", key)):
                    yield ("data", key), path
            case "ValidationResult":
                for passed, end in ((True, "': PASSED"), (False, "': FAILED")):
                    for test, component in self._split(
                        details, "Test '", "' for '", end, lambda test, component: ("verdict", component, test)
                    ):
                        yield ("verdict", component, test), {"passed": passed}

    def _begin_other(self, claim: Claim) -> None:
        """Another program began a migration: the document's own, an earlier one, or that of another state with the same log."""
        if self.begun_at:
            self.later_beginnings += [claim] if claim.line else []
        elif is_beginning(claim.time, self.started_at):
            self.other_beginning = 0
            if claim.line:
                self._clear()
                self.is_whole, self.begun_at, self.forgotten_at = True, claim.line, 0
                self._claim_nothing_yet(claim)

    def _split(self, details: str, start: str, middle: str, end: str, slot: Callable[[str, str], Slot]) -> Iterator[tuple[str, str]]:
        """The two names in a line's words. Where quotes in them leave a choice, one whose slot is known is preferred."""
        if details.startswith(start) and details.endswith(end):
            pieces = [plain(piece) for piece in details[len(start) : len(details) - len(end)].split(middle)]
            choices = [(middle.join(pieces[:cut]), middle.join(pieces[cut:])) for cut in range(1, len(pieces))]
            known = (choice for choice in choices if slot(*choice) in self.claims or slot(*choice) in self.known)
            if choices:
                yield next(known, choices[-1])

    def leave_out_earlier(self) -> None:
        """Where no line tells when the document's migration began, what is older than it is not about it."""
        if self.begun_at or not (began := moment(self.started_at)):
            return
        for told in (self.claims, self.items):
            for slot, claims in list(told.items()):
                told[slot] = [claim for claim in claims if (moment(claim.time) or began) >= began]
                if not told[slot]:
                    del told[slot]


def is_beginning(time: str | None, started_at: str | None) -> bool:
    """Does a line of another program at ``time`` tell of the migration that began at ``started_at``?"""
    began, told = moment(started_at), moment(time)
    return not (began and told) or timedelta(0) <= told - began <= _BEGINNING


_TRANSITION: Final = re.compile(r"Transitioned from '\w*' to '(\w+)'")
_ROLLBACK_WORDS: Final = {"Rollback set to available": True, "Rollback set to unavailable": False}


def _of(kind: str, named: JsonObject) -> Slot:
    return (kind, plain(named["component"]), plain(named["test_name"]))
