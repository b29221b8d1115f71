"""The state that the log says a document should have, accumulated line by line.

Each line claims something: a value for one slot of the document (the phase, the verdict of one validation),
or one more item of a list. Later claims override earlier ones, whoever wrote them. The lines of other
programs hold no data, only words, so the document's values are put into the same words and compared with
them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pytest_migration_state.domain.events import (
    AVAILABILITY,
    PASSED_OR_FAILED,
    WORDING,
    apply_effects,
    describe,
)
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

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    from pytest_migration_state.types import JsonObject, Key

#: Sentinel: a line that does not tell the value it set.
ANYTHING: Final[Any] = object()
#: How long another program may take between writing a new migration to the document and its line about it.
_LONGEST_INITIALIZATION: Final = timedelta(seconds=60)


class Claim(NamedTuple):
    """What one line says.

    :ivar line: its number; 0 if it is in another log.
    :ivar time: its timestamp, as it is written.
    :ivar value: the value; of another program's line as far as its words tell it.
    :ivar is_entry: whether it is an entry written by this package.
    :ivar is_binding: whether the document must hold it; else it may.
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


_NO_CLAIM: Final = Claim(0, None, None, is_entry=True)


@dataclass(slots=True)
class ExpectedState:
    """The state that the document's migration should have, as far as the lines have been read.

    :ivar started_at: when that migration began, as the document says.
    :ivar migration_id: its id, as the document says; ``None`` if it has none.
    :ivar known: slots that the document has.
    :ivar claims: what the lines say of each slot, in their order.
    :ivar items: the same of the items of lists, by their words.
    :ivar is_complete: whether every change since the migration began is in the log.
    :ivar begun_at: the line about its beginning; 0 if there is none.
    :ivar other_beginning: an entry about the beginning of another migration, if none about this one followed;
        else 0.
    :ivar later_beginnings: lines of other programs about a migration that began after this one.
    :ivar open_runs: the ids of the runs that have begun and not finished.
    :ivar gap_at: the last line before which the log has a gap; 0 if there is none.
    """

    started_at: str | None
    migration_id: str | None
    known: Container[Slot] = ()
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
        return cls(facts.slots.get(STARTED_AT), facts.slots.get(MIGRATION), facts.slots)

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
        """The phase; Completed if the log does not tell it, since verdicts may have been kept then."""
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

    def set_field(self, name: str, value: Any) -> None:
        """Claim the value of a top-level key."""
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

    def outstanding_entry(self, key: Key) -> JsonObject:
        """Return what is outstanding of a validation; an empty object if the log does not tell it."""
        value = self._last(slot_of("outstanding", key), ABSENT)
        return {} if value is ABSENT else value

    def set_outstanding(self, key: Key, entry: JsonObject | None) -> None:
        """Claim what is outstanding of a validation."""
        self._set(slot_of("outstanding", key), entry)

    def merge_metadata(self, patch: JsonObject) -> None:
        """Follow which runs begin and end."""
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
        action, details, time = content.get("action"), content.get("details"), content.get("timestamp")
        if not (isinstance(action, str) and isinstance(details, str)):
            return
        claim = Claim(
            line, time if isinstance(time, str) else None, None, is_entry=False, is_binding=line > 0
        )
        match action:
            case "Initialize":
                self._begin_elsewhere(claim)
            case "ContainerProcessed":
                self._add_item("docker_containers_removed", details, claim)
            case "ProcessStarted":
                self._add_item("native_processes_started", details, claim)
            case "Error":
                # PowerShell writes level INFO; an operator's own entry of this name changes nothing.
                binds = claim.is_binding and content.get("level") == "INFO"
                self._add(ERROR, claim._replace(is_binding=binds), {"message": details})
            case _:
                for slot, value in self._parsed(action, details):
                    self._add(slot, claim, value)

    def _parsed(self, action: str, details: str) -> Iterator[tuple[Slot, object]]:
        """Yield what the words of a line say."""
        match action:
            case "PhaseTransition" if (found := _TRANSITION.match(details)) and found[1] in tuple(Phase):
                yield PHASE, found[1]
                if found[1] in FINAL_PHASES:
                    # The line does not tell the time.
                    yield COMPLETED_AT, ANYTHING
            case "RollbackAvailability" if details in _ROLLBACK_WORDS:
                yield ROLLBACK, _ROLLBACK_WORDS[details]
            case "DataPreserved":
                start, middle, end = WORDING[action].split("{}")
                for key, path in self._split(details, start, middle, end, lambda key, _: ("data", key)):
                    yield ("data", key), path
            case "ValidationResult":
                start, middle, end, _ = WORDING[action].split("{}")
                for passed, word in PASSED_OR_FAILED.items():
                    named = self._split(
                        details, start, middle, end + word, lambda test, name: ("verdict", name, test)
                    )
                    for test_name, component in named:
                        yield ("verdict", component, test_name), {"passed": passed}

    def _begin_elsewhere(self, claim: Claim) -> None:
        """Another program began a migration: this one, an earlier one, or that of another state."""
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

    def _split(
        self, details: str, start: str, middle: str, end: str, slot: Callable[[str, str], Slot]
    ) -> Iterator[tuple[str, str]]:
        """Yield the two names in a line's words.

        Where quotes in them are ambiguous, a known slot is preferred.
        """
        if not (details.startswith(start) and details.endswith(end)):
            return
        pieces = [
            normalize_dates(piece) for piece in details[len(start) : len(details) - len(end)].split(middle)
        ]
        choices = [(middle.join(pieces[:cut]), middle.join(pieces[cut:])) for cut in range(1, len(pieces))]
        known = (choice for choice in choices if slot(*choice) in self.claims or slot(*choice) in self.known)
        if choices:
            yield next(known, choices[-1])

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


_TRANSITION: Final = re.compile(WORDING["PhaseTransition"].format(r"\w*", r"(\w+)"))
_ROLLBACK_WORDS: Final = {
    describe("RollbackAvailability", words): value for value, words in AVAILABILITY.items()
}
