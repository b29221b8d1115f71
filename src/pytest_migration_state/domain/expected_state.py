"""The state that a document should have according to the log, accumulated line by line.

Each line makes a claim: a value for one slot of the document (the phase, the verdict of one validation), or
one more item of a list. Later claims override earlier ones, whoever wrote them. The lines of other programs
hold no data, only words. So the document's values are put into the same words and compared with them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pytest_migration_state.domain import schema
from pytest_migration_state.domain.beside.identity import meaning
from pytest_migration_state.domain.beside.past import what_it_says
from pytest_migration_state.domain.events import apply_effects
from pytest_migration_state.domain.facts import (
    ABSENT,
    COMPLETED_AT,
    ERROR,
    MIGRATION,
    PHASE,
    ROLLBACK,
    STARTED_AT,
    DocumentFacts,
    Slot,
    item_in_words,
    normalize_dates,
    slot_of,
    time_of,
)
from pytest_migration_state.domain.phases import FINAL_PHASES, Phase
from pytest_migration_state.domain.schema import APPENDED
from pytest_migration_state.types import key_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pytest_migration_state.types import JsonObject, Key

#: Sentinel: the line does not say which value it set.
ANYTHING: Final[Any] = object()
#: The longest time between another program's write of a new migration to the document and its line about it.
_LONGEST_INITIALIZATION: Final = timedelta(seconds=60)


class Claim(NamedTuple):
    """The claim of one line about one slot.

    :ivar line: the number of the line; 0 if it is in another log.
    :ivar time: the timestamp of the line, as it is written.
    :ivar value: the value; for a line of another program, as much of it as its words say.
    :ivar is_entry: whether the line is an entry written by this package.
    :ivar is_binding: whether the document must hold the value; if not, it may.
    """

    line: int
    time: str | None
    value: Any
    is_entry: bool
    is_binding: bool = True


def is_beginning(time: str | None, started_at: str | None) -> bool:
    """Return True if another program's line at ``time`` is about the migration begun at ``started_at``."""
    began = time_of(started_at)
    written = time_of(time)
    return not (began and written) or timedelta(0) <= written - began <= _LONGEST_INITIALIZATION


def _names_in(slots: Iterable[Slot]) -> set[Key | str]:
    """Return the validations and keys of data that these slots are about."""
    names: set[Key | str] = set()
    for slot in slots:
        match slot:
            case _, component, test_name:
                names.add((component, test_name))
            case _, key:
                names.add(key)
    return names


_NO_CLAIM: Final = Claim(0, None, None, is_entry=True)


@dataclass(slots=True)
class ExpectedState:
    """The state that the document's migration should have, as far as the lines have been read.

    :ivar started_at: when that migration began, as the document says.
    :ivar migration_id: its id, as the document says; ``None`` if it has none.
    :ivar names: the validations and keys of data that the document or a line names.
    :ivar claims: the claims about each slot, in the order of the lines.
    :ivar items: the claims about each item of a list, by the item's words.
    :ivar is_complete: whether every change since the migration began is in the log.
    :ivar begun_at: the line that begins the migration; 0 if there is none.
    :ivar other_beginning: the line of an entry that begins another migration, if no line that begins this one
        followed; else 0.
    :ivar later_beginnings: lines of other programs about a migration that began after this one.
    :ivar open_runs: the ids of the runs that have begun and not finished.
    :ivar gap_at: the last line before which the log has a gap; 0 if there is none.
    """

    started_at: str | None
    migration_id: str | None
    names: set[Key | str] = field(default_factory=set)
    claims: dict[Slot, list[Claim]] = field(default_factory=dict)
    items: dict[Slot, list[Claim]] = field(default_factory=dict)
    is_complete: bool = False
    begun_at: int = 0
    other_beginning: int = 0
    later_beginnings: list[Claim] = field(default_factory=list)
    gap_at: int = 0
    open_runs: set[str] = field(default_factory=set)
    _claim: Claim = _NO_CLAIM

    @classmethod
    def of(cls, facts: DocumentFacts) -> ExpectedState:
        """Return the empty state of the migration that a document with these facts is about."""
        return cls(facts.slots.get(STARTED_AT), facts.slots.get(MIGRATION), _names_in(facts.slots))

    def discard_before(self, line: int) -> None:
        """Discard the claims before ``line``: the log has a gap there."""
        self._clear()
        self.gap_at = line

    def _clear(self) -> None:
        self.claims.clear()
        self.items.clear()
        self.is_complete = False

    def _last(self, slot: Slot, default: Any) -> Any:
        claims = self.claims.get(slot)
        return claims[-1].value if claims else default

    def _add(self, slot: Slot, claim: Claim, value: object) -> None:
        self.names |= _names_in([slot])
        self.claims.setdefault(slot, []).append(claim._replace(value=value))

    def _add_item(self, name: str, words: str, claim: Claim) -> None:
        self.items.setdefault((name, normalize_dates(words)), []).append(claim)

    def _claim_beginning(self, claim: Claim) -> None:
        for slot, value in (
            (PHASE, Phase.NOT_STARTED.value),
            (COMPLETED_AT, None),
            (ROLLBACK, True),
            (ERROR, None),
        ):
            self._add(slot, claim, value)

    # --- entries written by this package: their data have the effects of domain.events ---

    def add_entry(self, line: int, time: str | None, data: JsonObject) -> None:
        """Add an entry written by this package."""
        self._claim = Claim(line, time, None, is_entry=True)
        apply_effects(self, data)
        if "unlogged_changes" in data.get("metadata", {}):
            self.discard_before(line)

    def _set(self, slot: Slot, value: object) -> None:
        """Claim a value; ``None`` claims that there is none."""
        self._add(slot, self._claim, ABSENT if value is None else value)

    @property
    def phase(self) -> str:
        """The phase; Completed if the log does not say it, because verdicts may have been kept then."""
        phase: str = self._last(PHASE, Phase.COMPLETED)
        return phase

    def begin(self, migration: JsonObject) -> None:
        """Begin a migration."""
        claim = self._claim
        self._clear()
        self.is_complete = migration["migration_id"] == self.migration_id
        self.begun_at = self.other_beginning = 0
        if self.is_complete:
            self.begun_at = claim.line
        else:
            self.other_beginning = claim.line
        self.gap_at = 0
        self.later_beginnings = []
        self._add(STARTED_AT, claim, migration["started_at"])
        self._claim_beginning(claim)

    def adopt(self, content: JsonObject) -> None:
        """Begin a migration with everything that a document held when it was taken over."""
        metadata = content["metadata"]
        self.begin({"migration_id": metadata["migration_id"], "started_at": content["started_at"]})
        for name in ("phase", "completed_at", "rollback_available", "error"):
            self.set_field(name, content[name])
        for key, path in content["data_preserved"].items():
            self.set_data(key, path)
        for name in APPENDED:
            for item in content[name]:
                self.append_item(name, item)
        for verdict in content["validation_results"]:
            self.set_verdict(key_of(verdict), verdict)
        for entry in content["outstanding_validations"]:
            self.set_outstanding(key_of(entry), entry)
        self.merge_metadata(metadata)

    def change_item(self, name: str, before: JsonObject, after: JsonObject) -> None:
        """Claim an item of a list in place of another one."""
        claims = self.items[name, normalize_dates(item_in_words(name, before))]
        claims[:] = [claim for claim in claims if claim.value != before]
        self.append_item(name, after)

    def set_field(self, name: str, value: Any) -> None:
        """Claim the value of a top-level key that this package knows."""
        if name in schema.KEYS:
            self._add((name,), self._claim, value)

    def set_data(self, key: str, path: str | None) -> None:
        """Claim where data was saved."""
        self._set(("data", normalize_dates(key)), path)

    def append_item(self, name: str, item: JsonObject) -> None:
        """Claim an item of a list."""
        self._add_item(name, item_in_words(name, item), self._claim._replace(value=item))

    def set_verdict(self, key: Key, verdict: JsonObject | None) -> None:
        """Claim a verdict."""
        self._set(slot_of("verdict", key), verdict)

    def mark_stale(self, component: str, since: str | None, but: Collection[str] = ()) -> None:
        """Claim nothing: a mark changes none of the fields that are compared."""

    def outstanding_entry(self, key: Key) -> JsonObject:
        """Return the outstanding entry of a validation; an empty object if the log does not say it."""
        value = self._last(slot_of("outstanding", key), ABSENT)
        return {} if value is ABSENT else value

    def set_outstanding(self, key: Key, entry: JsonObject | None) -> None:
        """Claim the outstanding entry of a validation."""
        self._set(slot_of("outstanding", key), entry)

    def merge_metadata(self, patch: JsonObject) -> None:
        """Track the runs that begin and end."""
        for run_id, run in patch.get("open_runs", {}).items():
            if run is None:
                self.open_runs.discard(run_id)
            else:
                self.open_runs.add(run_id)

    # --- lines of other programs: their words say what they did ---

    def add_foreign_line(self, line: int, content: JsonObject) -> None:
        """Add a line that another program wrote.

        :param line: its number; 0 if it is in another log and may be about another state.
        """
        if not (said := what_it_says(content, line, self.names)):
            return
        claim = Claim(line, said.timestamp, None, is_entry=False, is_binding=line > 0)
        match said.kind:
            case "initialize":
                self._begin_elsewhere(claim)
            case "item":
                name, words = said.about
                self._add_item(name, words, claim)
            case "phase":
                phase = said.value[1]
                self._add(PHASE, claim, phase)
                if phase in FINAL_PHASES:
                    # The line does not say the time.
                    self._add(COMPLETED_AT, claim, ANYTHING)
            case "verdict":
                component, test_name = said.about
                self._add(slot_of("verdict", (component, test_name)), claim, {"passed": said.value})
            case "data":
                self._add(("data", normalize_dates(said.about[0])), claim, normalize_dates(said.value))
            case "error":
                is_binding = claim.is_binding and not self._is_cleared(said.value)
                self._add(ERROR, claim._replace(is_binding=is_binding), {"message": said.value})
            case _:
                self._add(ROLLBACK, claim, said.value)

    def _is_cleared(self, message: str) -> bool:
        """Return True if an error of this message was on record and was cleared: its line may come later."""
        values = [claim.value for claim in self.claims.get(ERROR, ()) if claim.is_entry]
        if not values or values[-1] is not None:
            return False
        return any(value and meaning(value.get("message")) == meaning(message) for value in values)

    def _begin_elsewhere(self, claim: Claim) -> None:
        """Add the beginning of a migration by another program.

        It may be this migration, an earlier one, or that of another state.
        """
        if self.begun_at:
            if claim.line:
                self.later_beginnings.append(claim)
        elif is_beginning(claim.time, self.started_at):
            self.other_beginning = 0
            if claim.line:
                self._clear()
                self.is_complete = True
                self.begun_at = claim.line
                self.gap_at = 0
                self._claim_beginning(claim)

    def drop_claims_before_start(self) -> None:
        """Drop the claims that are older than the migration, if no line says when it began."""
        began = time_of(self.started_at)
        if self.begun_at or not began:
            return
        for all_claims in (self.claims, self.items):
            for slot, claims in list(all_claims.items()):
                all_claims[slot] = [claim for claim in claims if (time_of(claim.time) or began) >= began]
                if not all_claims[slot]:
                    del all_claims[slot]
