"""Verdicts of other programs: which of them count (DESIGN, section 1, "Each change counts once")."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_migration_state.domain.beside.change import BY_HAND, LINE_ALONE, NOT_KNOWN
from pytest_migration_state.domain.beside.identity import identity
from pytest_migration_state.domain.beside.late import late_failures, new_results, results_of
from pytest_migration_state.domain.beside.past import Entry, Said, same_name
from pytest_migration_state.domain.facts import time_of
from pytest_migration_state.domain.override import mark
from pytest_migration_state.domain.staleness import becoming_stale, is_stale
from pytest_migration_state.types import key_of

if TYPE_CHECKING:
    from datetime import datetime

    from pytest_migration_state.domain.beside.case import Case
    from pytest_migration_state.domain.beside.change import Change
    from pytest_migration_state.domain.beside.identity import Identity
    from pytest_migration_state.types import JsonObject, Key


@dataclass(slots=True)
class _Past:
    """What is on record of one validation.

    :ivar taken: the results on record that counted.
    :ivar seen: the results on record that did not.
    :ivar later: those of both that an entry after the base put on record.
    :ivar shut: the last entry that shut the gate for it.
    :ivar failures: the failures of other programs on record since our last verdict, or the last pass that
        counts, and the lines about some.
    :ivar passes: the passes of other programs on record, and the lines about some.
    :ivar by_line: the times of failures that are known from their line alone.
    """

    taken: dict[Identity, JsonObject] = field(default_factory=dict)
    seen: set[Identity] = field(default_factory=set)
    later: set[Identity] = field(default_factory=set)
    shut: int = 0
    failures: int = 0
    failure_lines: int = 0
    passes: int = 0
    pass_lines: int = 0
    by_line: list[datetime] = field(default_factory=list)

    def settle_lines(self) -> None:
        """Note a verdict of ours, or a pass that counts: the lines about failures before it are dealt with.

        A failure whose line never came must not stand for the line about a later one.
        """
        self.failures = self.failure_lines = 0
        self.by_line = []

    def add_line(self, passed: bool) -> None:
        if passed:
            self.pass_lines += 1
        else:
            self.failure_lines += 1

    def is_known_by_line(self, verdict: JsonObject) -> bool:
        """Return True if a failure in a document is one that is known from its line alone."""
        time = time_of(verdict.get("tested_at"))
        return time is not None and any(line >= time for line in self.by_line)

    def same_time(self, verdict: JsonObject) -> list[JsonObject]:
        """Return the verdicts on record with the same time."""
        time = time_of(verdict.get("tested_at"))
        return [other for other in self.taken.values() if time_of(other.get("tested_at")) == time]


def add_verdicts(case: Case, change: Change) -> None:
    """Add the verdicts of other programs that count, and those that do not."""
    found = results_of(case.found)
    base = results_of(case.base)
    current = {same_name(key): verdict for key, verdict in case.state.verdicts.items()}
    names = {same_name(key): key for key in (*case.state.verdicts, *case.state.outstanding)}
    outstanding = {same_name(key) for key in case.state.outstanding}
    lines: dict[Key, list[Said]] = {}
    for said in case.tail:
        if said.kind == "verdict":
            lines.setdefault(same_name((said.about[0], said.about[1])), []).append(said)
    strays = dict(late_failures(case))
    keys = [key for key, results in found.items() if _differ(results, base.get(key))]
    keys += [key for key in (*lines, *strays) if key not in keys]
    pasts = _pasts_of(case, keys)
    for key in dict.fromkeys(keys):
        _Validation(
            case, pasts[key], current.get(key), key in outstanding, found.get(key, []), base.get(key, [])
        ).add_to(change, names.get(key), strays.get(key), lines.get(key, []))


def _differ(results: list[JsonObject], base: list[JsonObject] | None) -> bool:
    if results == base:
        return False
    return base is None or [*map(identity, results)] != [*map(identity, base)]


def _pasts_of(case: Case, keys: list[Key]) -> dict[Key, _Past]:
    pasts = {key: _Past() for key in keys}
    for item in case.past:
        if isinstance(item, Said):
            if item.kind == "verdict" and (past := pasts.get(same_name((item.about[0], item.about[1])))):
                past.add_line(item.value)
            continue
        if item.is_external:
            _add_external(case, pasts, item)
        else:
            _add_own(case, pasts, item)
        _add_stale(pasts, item)
    return pasts


def _add_stale(pasts: dict[Key, _Past], entry: Entry) -> None:
    for stale in entry.data.get("stale", ()):
        existing: dict[Key, JsonObject] = {key: {} for key, past in pasts.items() if past.taken}
        component, _ = same_name((stale["component"], ""))
        for key in becoming_stale(existing, component, stale.get("but", ())):
            pasts[key].shut = entry.seq


def _named(pasts: dict[Key, _Past], named: JsonObject) -> _Past | None:
    return pasts.get(same_name(key_of(named)))


def _add_own(case: Case, pasts: dict[Key, _Past], entry: Entry) -> None:
    for verdict in entry.data.get("validation_results", ()):
        if past := _named(pasts, verdict):
            past.settle_lines()
            _take(case, past, entry, verdict)
    for outstanding in entry.data.get("outstanding_validations", ()):
        if past := _named(pasts, outstanding):
            past.shut = entry.seq
    for forgotten in entry.data.get("forgotten", ()):
        if past := _named(pasts, forgotten):
            past.settle_lines()


def _take(case: Case, past: _Past, entry: Entry, verdict: JsonObject) -> None:
    past.taken[identity(verdict)] = verdict
    if entry.seq > case.base_seq:
        past.later.add(identity(verdict))
    if not verdict["passed"]:
        past.shut = entry.seq


def _add_external(case: Case, pasts: dict[Key, _Past], entry: Entry) -> None:
    data = entry.data
    for verdict in data.get("adopted", {}).get("validation_results", ()):
        if past := _named(pasts, verdict):
            _take(case, past, entry, verdict)
            if case.is_line_owed(entry, "verdict", verdict):
                _count(past, verdict, from_line=False)
    from_lines = data.get("from_lines", ())
    for verdict in (*data.get("failed_meanwhile", ()), *data.get("validation_results", ())):
        if past := _named(pasts, verdict):
            _take(case, past, entry, verdict)
            _count(past, verdict, from_line=verdict in from_lines)
    refused = [item["verdict"] for item in data.get("refused", ()) if "verdict" in item]
    for verdict in (*data.get("superseded", ()), *refused):
        if past := _named(pasts, verdict):
            past.seen.add(identity(verdict))
            if entry.seq > case.base_seq:
                past.later.add(identity(verdict))
            _count(past, verdict, from_line=False)
    for verdict in data.get("validation_results", ()):
        if verdict["passed"] and (past := _named(pasts, verdict)):
            past.settle_lines()


def _count(past: _Past, verdict: JsonObject, *, from_line: bool) -> None:
    """Count a result of another program that is on record."""
    if verdict["passed"]:
        past.passes += 1
        return
    time = time_of(verdict.get("tested_at"))
    if from_line and time:
        past.failures += 1
        past.by_line.append(time)
    elif time and (same := [line for line in past.by_line if line >= time]):
        # Known from its line before, and seen in a document now.
        past.by_line.remove(same[0])
    else:
        past.failures += 1


class _Validation:
    """One validation: what is on record, what the document has, and what lines say."""

    def __init__(
        self,
        case: Case,
        past: _Past,
        current: JsonObject | None,
        is_outstanding: bool,
        results: list[JsonObject],
        base: list[JsonObject],
    ) -> None:
        self._case = case
        self._past = past
        self._current = current
        self._is_outstanding = is_outstanding
        self._results = results
        self._base = base
        # The verdict that counts in the end, and whether it settles what is outstanding.
        self._verdict = current
        self._settles = False
        self._from_line = False
        self._refused: list[tuple[JsonObject, str]] = []
        self._superseded: list[JsonObject] = []

    @property
    def _is_shut(self) -> bool:
        """True if the validation keeps the gate shut."""
        current = self._current
        return self._is_outstanding or (current is not None and (not current["passed"] or is_stale(current)))

    def add_to(self, change: Change, name: Key | None, stray: JsonObject | None, lines: list[Said]) -> None:
        """Add what counts, and what does not, to a change.

        :param name: the name under which it is on record; PowerShell 7 rewrites one that is a date.
        """
        if self._results:
            self._read_document()
        if stray is not None:
            self._verdict, self._settles = stray, False
            self._past.failures += 1
        self._read_lines(lines)
        verdict = self._verdict
        if verdict is not None and (verdict is not self._current or (self._settles and self._is_outstanding)):
            settles = self._settles or not self._is_outstanding
            key = "validation_results" if settles else "failed_meanwhile"
            if name:
                verdict = {**verdict, "component": name[0], "test_name": name[1]}
            change.add_item(key, self._marked(verdict), from_line=self._from_line)
            change.opens |= verdict["passed"] and self._is_shut
        for refused, why in self._refused:
            change.refuse("verdict", refused, why)
        known = [self._verdict, *(item for item, _ in self._refused)]
        change.superseded += [item for item in self._superseded if item not in known]

    def _marked(self, verdict: JsonObject) -> JsonObject:
        """Return a verdict with the mark of one that replaces a failure of a run."""
        if found := mark(self._current, "another program", str(verdict.get("tested_at")), None):
            return {**verdict, "overridden": found}
        return verdict

    # --- the document ---

    def _read_document(self) -> None:
        past, case = self._past, self._case
        is_shut = self._is_shut
        knows = past.shut <= case.knows
        known = past.taken.keys() | past.seen
        results = new_results(self._results, self._base, known, past.later)
        is_forged = any(self._is_forged(result) for result in results)
        for result in results:
            if self._excuses_a_failure(result):
                self._refused.append((result, BY_HAND))
                continue
            if not result["passed"]:
                past.failures += not past.is_known_by_line(result)
                self._verdict, self._settles = result, knows
                is_shut = is_shut and not knows
                continue
            past.passes += 1
            if self._is_forged(result) and (is_shut or self._hides(result)):
                self._refused.append((result, BY_HAND))
                continue
            if is_shut and (not knows or is_forged):
                self._refused.append((result, NOT_KNOWN))
            else:
                self._verdict, self._settles = result, True
        self._superseded = results[:-1]

    def _hides(self, result: JsonObject) -> bool:
        """Return True for a pass in place of a failure, or of a pass that is marked as an override."""
        marked = result.get("overridden")
        same = self._past.same_time(result)
        return any(not other["passed"] or (other.get("overridden") and not marked) for other in same)

    def _excuses_a_failure(self, result: JsonObject) -> bool:
        """Return True for a failure of ours that was made an expected one by hand, which may be allowed."""
        is_expected = result.get("outcome") == "xfailed" and not result["passed"]
        return is_expected and any(
            other.get("outcome") != "xfailed" for other in self._past.same_time(result)
        )

    def _is_forged(self, result: JsonObject) -> bool:
        """Return True for a pass that is one of our verdicts, changed by hand.

        It has the time of a verdict on record, or the run of one that is not: other programs write no run.
        """
        if not result["passed"] or identity(result) in self._past.taken:
            return False
        is_of_a_run = bool(result.get("run_id")) and not self._case.holds_unlogged
        return is_of_a_run or bool(self._past.same_time(result))

    # --- the lines ---

    def _read_lines(self, lines: list[Said]) -> None:
        past, case = self._past, self._case
        failed = [said for said in lines if not said.value]
        passed = [said for said in lines if said.value]
        if not case.past:
            past.failure_lines, past.pass_lines = len(failed), len(passed)
        is_last_word = bool(failed and passed) and failed[-1] is lines[-1]
        if failed and (is_last_word or past.failure_lines > past.failures):
            self._fail_by(failed[-1])
        is_open = _is_passed(self._verdict) and not self._is_outstanding
        if passed and past.pass_lines > past.passes and not is_open:
            self._refused.append((_from_line(passed[-1]), LINE_ALONE))

    def _fail_by(self, said: Said) -> None:
        """Take a failure that only its line tells. It shuts, whatever the document has."""
        verdict = self._verdict
        if verdict is not None and verdict is not self._current and verdict["passed"]:
            self._refused.append((verdict, LINE_ALONE))
        if verdict is self._current or (verdict is not None and verdict["passed"]):
            self._verdict, self._settles, self._from_line = _from_line(said), False, True


def _is_passed(verdict: JsonObject | None) -> bool:
    return verdict is not None and verdict["passed"] and not is_stale(verdict)


def _from_line(said: Said) -> JsonObject:
    """Return a verdict as far as its line tells it."""
    verdict: JsonObject = {
        "component": said.about[0],
        "test_name": said.about[1],
        "passed": said.value,
        "error_message": None,
        "tested_at": said.timestamp,
    }
    if not said.value:
        verdict["error_message"] = (
            "the document does not hold this result: only its line in the log tells of it"
        )
    return verdict
