"""Phases set by other programs, and the rollback flag: which of them count."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from pytest_migration_state.domain.beside.change import LINE_ALONE, NOT_KNOWN
from pytest_migration_state.domain.beside.past import Said, entries_of
from pytest_migration_state.domain.facts import time_of
from pytest_migration_state.domain.phases import FINAL_PHASES, Phase

if TYPE_CHECKING:
    from datetime import datetime

    from pytest_migration_state.domain.beside.case import Case
    from pytest_migration_state.domain.beside.change import Change
    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.types import JsonObject

_ROLLED_BACK = Phase.ROLLED_BACK.value


class _Stage(NamedTuple):
    """A phase, with the time at which the migration ended if that is a final one."""

    phase: str
    ended: datetime | None


def _stage_of(fields: JsonObject) -> _Stage:
    return _Stage(fields["phase"], time_of(_ended(fields["phase"], fields.get("completed_at"))))


def _stage_in(document: Document | None) -> _Stage | None:
    if document is None:
        return None
    return _stage_of(document.fields)


def _ended(phase: str, completed_at: str | None) -> str | None:
    """Return the time at which the migration ended; ``None`` in a phase that is not final."""
    if phase in FINAL_PHASES:
        return completed_at
    return None


class _Past:
    """What is on record of the phase.

    :ivar own: the last entry of ours that set the phase.
    :ivar after_base: the stages that an entry after the base set or refused.
    :ivar ever: the stages that any entry set.
    :ivar known: how often each phase is known from other programs.
    :ivar lines: the number of lines to each phase.
    :ivar rollbacks: the rollbacks of other programs since our last phase, on record and in lines.
    """

    def __init__(self, case: Case) -> None:
        self.own = 0
        self.after_base: set[_Stage] = set()
        self.ever: set[_Stage] = set()
        self.known: Counter[str] = Counter()
        self.lines: Counter[str] = Counter()
        self.rollbacks = self.rollback_lines = 0
        for item in case.past:
            if isinstance(item, Said):
                if item.kind == "phase":
                    self.lines[item.value[1]] += 1
                    self.rollback_lines += item.value[1] == _ROLLED_BACK
            else:
                self._add(case, item.data, item.seq, is_external=item.is_external)

    def _add(self, case: Case, data: JsonObject, seq: int, *, is_external: bool) -> None:
        stages = [_stage_of(data)] if "phase" in data else []
        self.ever.update(stages)
        if is_external:
            refused = [_stage_of(item) for item in data.get("refused", ()) if "phase" in item]
            self.known.update(stage.phase for stage in (*stages, *refused))
            self.known.update(data.get("through", ()))
            self.rollbacks += sum(stage.phase == _ROLLED_BACK for stage in stages)
            stages += refused
        elif stages:
            self.own = seq
            self.rollbacks = self.rollback_lines = 0
        if seq > case.base_seq:
            self.after_base.update(stages)


def add_phase(case: Case, change: Change) -> None:
    """Add the phase that other programs set, and those that were not taken."""
    _Phases(case, change).add()


class _Phases:
    def __init__(self, case: Case, change: Change) -> None:
        self._case = case
        self._change = change
        self._past = _Past(case)
        self._current = _stage_of(case.state.fields)
        self._stage = self._current
        # As it will be written: phase and completed_at.
        self._fields: tuple[str, str | None] = (self._current.phase, case.state.fields["completed_at"])
        self._through: list[str] = []
        self._found = _stage_in(case.found)
        self._base = _stage_in(case.base)
        if self._found and self._base and self._found == (self._base.phase, None):
            # Only the time of the end was removed: it stays.
            self._found = self._base

    def add(self) -> None:
        rolled_back = self._is_rolled_back_in_document()
        for said in self._case.tail:
            if said.kind == "phase":
                self._read_line(said, rolled_back=rolled_back)
        self._read_stray()
        if self._found is not None and self._found != self._base:
            self._read_document(rolled_back=rolled_back)
        if self._stage != self._current:
            self._change.data["phase"], self._change.data["completed_at"] = self._fields
            if others := [phase for phase in self._through if phase != self._stage.phase]:
                self._change.data["through"] = others

    def _is_rolled_back_in_document(self) -> bool:
        found = self._found
        return (
            found is not None
            and found.phase == _ROLLED_BACK
            and found != self._base
            and found not in self._past.after_base
        )

    def _set(self, phase: str, completed_at: str | None) -> None:
        self._fields = (phase, _ended(phase, completed_at))
        self._stage = _stage_of({"phase": phase, "completed_at": completed_at})
        self._through.append(phase)

    def _set_from(self, document: Document) -> None:
        self._set(document.fields["phase"], document.fields["completed_at"])

    def _read_line(self, said: Said, *, rolled_back: bool) -> None:
        before, after = said.value
        past = self._past
        if not self._case.past:
            past.lines[after] += 1
            past.rollback_lines += after == _ROLLED_BACK
        if after == _ROLLED_BACK:
            is_new = past.rollback_lines > past.rollbacks and not rolled_back
            if is_new and self._stage.phase != _ROLLED_BACK:
                self._set(after, said.timestamp)
        elif past.lines[after] <= past.known[after] or self._stage.phase == after:
            return
        elif self._stage.phase == before and before != _ROLLED_BACK:
            self._set(after, said.timestamp)
        else:
            self._refuse(after, said.timestamp, LINE_ALONE)

    def _refuse(self, phase: str, completed_at: str | None, why: str) -> None:
        refused = {"phase": phase, "completed_at": _ended(phase, completed_at), "why": why}
        self._change.refused.append(refused)

    def _read_stray(self) -> None:
        stray = self._case.stray
        if stray is None:
            return
        stage = _stage_of(stray.document.fields)
        is_new = stage.phase == _ROLLED_BACK and stage != _stage_of(stray.before.fields)
        if is_new and stage not in _ever_external(self._case):
            self._set_from(stray.document)

    def _read_document(self, *, rolled_back: bool) -> None:
        case, past, found = self._case, self._past, self._found
        assert case.found is not None and found is not None and self._base is not None
        knows = past.own <= case.knows
        if rolled_back:
            self._set_from(case.found)
        elif found in past.after_base:
            return
        elif _ROLLED_BACK in {self._base.phase, self._stage.phase}:
            if found.phase != _ROLLED_BACK:
                self._refuse(*self._as_found(), "RolledBack is final")
        elif found.phase == _ROLLED_BACK:
            return
        elif found.phase == self._stage.phase:
            if found.phase in FINAL_PHASES and knows and found not in past.ever:
                self._set_from(case.found)
        elif knows:
            self._set_from(case.found)
        else:
            self._refuse(*self._as_found(), NOT_KNOWN)

    def _as_found(self) -> tuple[str, str | None]:
        assert self._case.found is not None
        fields = self._case.found.fields
        return fields["phase"], fields["completed_at"]


def _ever_external(case: Case) -> set[_Stage]:
    """Return the stages that other programs set and that any entry put on record."""
    entries = [entry for entry in entries_of(case.everything) if entry.is_external]
    return {_stage_of(entry.data) for entry in entries if "phase" in entry.data}
