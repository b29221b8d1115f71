"""The error, saved data, and other single values set by other programs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from pytest_migration_state.domain import schema
from pytest_migration_state.domain.beside.change import NOT_KNOWN, NOT_OURS, RESERVED
from pytest_migration_state.domain.beside.identity import identity, meaning
from pytest_migration_state.domain.beside.past import Said, said_in
from pytest_migration_state.domain.facts import normalize_dates
from pytest_migration_state.domain.keys import in_one_case, is_reserved
from pytest_migration_state.types import as_object, key_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping

    from pytest_migration_state.domain.beside.case import Case
    from pytest_migration_state.domain.beside.change import Change
    from pytest_migration_state.domain.beside.past import Entry
    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.types import JsonObject

#: The metadata that only this package writes: a difference is no change.
OUR_METADATA: Final = frozenset(
    {"version", "migration_id", "revision", "audit", "open_runs", "completed_with", "unlogged_changes",
     "collections", "lost_entries", "accepted"}
)  # fmt: skip


#: Keys that only a later version of this package writes: they can open the gate there.
_LATER_FIELDS: Final = frozenset({"policy", "waivers", "holds", "shards"})

# --- the error ----------------------------------------------------------------------------------------------


def add_error(case: Case, change: Change) -> None:
    """Add the error that another program set: with its time from the document, else from its line."""
    known = [error for entry in case.entries if (error := _error_in(entry))]
    current = case.state.fields["error"]
    error = _new_error(case, known) or current
    known_messages = {meaning(other.get("message")) for other in (*known, error) if other}
    told = [
        said
        for said in case.tail
        if said.kind == "error" and (meaning(said.value) not in known_messages or _is_again(case, said))
    ]
    if told:
        error = {"message": told[-1].value, "occurred_at": told[-1].timestamp}
    if identity(error or {}) != identity(current or {}):
        change.data["error"] = error


def _error_in(entry: Entry) -> JsonObject | None:
    """Return the error that an entry puts on record."""
    error: JsonObject | None = entry.data.get("adopted", entry.data).get("error")
    return error or None


def _is_again(case: Case, said: Said) -> bool:
    """Return True if a line is about an error in the same words as one that was cleared.

    An error that was taken from a document has a line of its own, which may come after it was cleared.
    """
    recorded = [entry for entry in case.entries if "error" in entry.data or "adopted" in entry.data]
    if not recorded or _error_in(recorded[-1]):
        return False
    errors = [error for entry in recorded if entry.is_external and (error := _error_in(entry))]
    owed = sum(meaning(error.get("message")) == meaning(said.value) for error in errors)
    lines = [line for line in said_in(case.past) if line.kind == "error"]
    return sum(meaning(line.value) == meaning(said.value) for line in lines) > owed


def _new_error(case: Case, known: list[JsonObject]) -> JsonObject | None:
    """Return the error in the document if neither its base nor an entry has it."""
    if case.found is None or case.base is None:
        return None
    found: JsonObject | None = case.found.fields["error"]
    on_record = {identity(other or {}) for other in (case.base.fields["error"], *known)}
    return found if found and identity(found) not in on_record else None


# --- saved data ---------------------------------------------------------------------------------------------


def add_data(case: Case, change: Change) -> None:
    """Add where other programs saved data: each key is a value of its own.

    A key that PowerShell could not read is refused.
    """
    current = case.state.fields["data_preserved"]
    values = dict(current)
    names = {_same_key(key): key for key in current}
    for key, path in _changed(_data_in(case.found), _data_in(case.base)):
        if path is None:
            continue
        if is_reserved(key):
            _refuse_data(case, change, key, path)
            continue
        name = names.setdefault(_same_key(key), key)
        if name and meaning(values.get(name)) != meaning(path):
            _take_value(case, change, ("data_preserved", name), path)
    for key, path in _told_by_lines(case):
        if is_reserved(key):
            _refuse_data(case, change, key, path)
            continue
        name = names.setdefault(_same_key(key), key)
        if meaning({**values, **change.data.get("data_preserved", {})}.get(name)) != meaning(path):
            change.data.setdefault("data_preserved", {})[name] = path


def _refuse_data(case: Case, change: Change, key: str, path: str) -> None:
    """Refuse a path of saved data, once. Its key is a value in the entry, which PowerShell must read too."""
    value = {"key": key, "backup_path": path}
    later = (entry.data.get("refused", ()) for entry in case.entries if entry.seq > case.base_seq)
    if not any(refused.get("data") == value for group in (*later, change.refused) for refused in group):
        change.refuse("data", value, RESERVED)


def _data_in(document: Document | None) -> JsonObject:
    """Return where a document says that data was saved."""
    if document is None:
        return {}
    return as_object(document.fields["data_preserved"])


def _same_key(key: str) -> str:
    """Return the same text for what is one key to PowerShell: dates in any notation, letters in any case."""
    return in_one_case(normalize_dates(key))


def _changed(found: Mapping[str, Any], base: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the keys and values that one object has and another one has not."""
    known = {normalize_dates(key): value for key, value in base.items()}
    for key, value in found.items():
        if meaning(value) != meaning(known.get(normalize_dates(key))):
            yield key, value


def _told_by_lines(case: Case) -> Iterator[tuple[str, str]]:
    """Yield the keys and paths that only a line tells."""
    on_record: Counter[Hashable] = Counter()
    lines: Counter[Hashable] = Counter()
    for item in case.past or case.tail:
        if isinstance(item, Said):
            lines[item.kind == "data" and _of_line(item)] += 1
        elif item.is_external:
            named = {
                **item.data.get("adopted", {}).get("data_preserved", {}),
                **item.data.get("data_preserved", {}),
            }
            on_record.update((_same_key(key), meaning(path)) for key, path in named.items())
            refused = [one["data"] for one in item.data.get("refused", ()) if "data" in one]
            on_record.update((_same_key(one["key"]), meaning(one["backup_path"])) for one in refused)
    for said in case.tail:
        if said.kind == "data" and lines[_of_line(said)] > on_record[_of_line(said)]:
            yield said.about[0], said.value


def _of_line(said: Said) -> Hashable:
    return _same_key(said.about[0]), meaning(said.value)


# --- every other value --------------------------------------------------------------------------------------


def add_others(case: Case, change: Change) -> None:
    """Add the values of keys that only other programs write; note what only this package may write."""
    if case.found is None or case.base is None:
        return
    found, base = case.found, case.base
    for key, value in _changed(found.fields, base.fields):
        if key not in schema.KEYS and key not in _LATER_FIELDS:
            _take_value(case, change, ("other_fields", key), value)
    for key, value in _changed(found.metadata, base.metadata):
        if key not in OUR_METADATA:
            _take_value(case, change, ("metadata", key), value)
    _note_ours(case, change)


def _take_value(case: Case, change: Change, slot: tuple[str, str], value: Any) -> None:
    """Take a value unless an entry after the base says otherwise.

    Where data was saved counts from a line alone too, and so from a document whose writer did not know ours.
    """
    group, key = slot
    known, last = False, 0
    for entry in case.entries:
        if key in entry.data.get(group, ()):
            last = last if entry.is_external else entry.seq
            known |= entry.seq > case.base_seq and meaning(entry.data[group][key]) == meaning(value)
        for refused in entry.data.get("refused", ()):
            if entry.seq > case.base_seq and key in refused.get(group, ()):
                known |= meaning(refused[group][key]) == meaning(value)
    if known:
        return
    if group == "data_preserved" or last <= case.knows:
        change.data.setdefault(group, {})[key] = value
    else:
        change.refuse(group, {key: value}, NOT_KNOWN)


def _note_ours(case: Case, change: Change) -> None:
    """Note, as one refusal, where the document differs in what only this package writes."""
    assert case.found is not None and case.base is not None
    values = {"metadata": _differing_metadata(case, case.found.metadata, case.base.metadata)}
    outstanding = _differing_outstanding(case.found, case.base)
    if case.holds_unlogged:
        known = case.state.outstanding
        added = [entry for entry in outstanding if key_of(entry) not in known]
        if added:
            change.data["outstanding_validations"] = added
    else:
        values["outstanding_validations"] = outstanding
    values = {key: value for key, value in values.items() if value}
    if values and not _is_noted(case, values):
        change.refused.append({**values, "why": NOT_OURS})


def _differing_metadata(case: Case, found: JsonObject, base: JsonObject) -> Any:
    compared = sorted(OUR_METADATA - {"audit", "unlogged_changes", *case.not_compared})
    return {
        key: found[key] for key in compared if key in found and meaning(found[key]) != meaning(base.get(key))
    }


def _differing_outstanding(found: Document, base: Document) -> list[JsonObject]:
    before = {identity(entry) for entry in base.outstanding.values()}
    return [entry for entry in found.outstanding.values() if identity(entry) not in before]


def _is_noted(case: Case, values: JsonObject) -> bool:
    """Return True if an entry after the base has noted these differences."""
    return any(
        meaning({key: refused.get(key) for key in values}) == meaning(values)
        for entry in case.entries
        if entry.seq > case.base_seq
        for refused in entry.data.get("refused", ())
    )
