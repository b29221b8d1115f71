"""The state document in its working form: decoded, changed, and written back.

Values that other tools wrote are written back unchanged, unless an event changes them.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from pytest_migration_state.domain import schema
from pytest_migration_state.domain.phases import Phase
from pytest_migration_state.domain.runs import runs_of
from pytest_migration_state.domain.staleness import becoming_stale
from pytest_migration_state.json_codec import expect, to_json_bytes
from pytest_migration_state.text import parse_time
from pytest_migration_state.types import as_object, key_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from pytest_migration_state.types import JsonObject, Key


class Document:
    """The state in its working form: its fields, with verdicts and outstanding validations indexed.

    :ivar fields: every key of the document but the two indexed lists.
    :ivar verdicts: the newest verdict of each validation, in the order of the list.
    :ivar outstanding: the validations without a valid verdict.
    """

    __slots__ = ("_listed", "_older", "fields", "outstanding", "verdicts")

    def __init__(self, fields: JsonObject) -> None:
        """Take ownership of ``fields``, a decoded document.

        :raises ValueError: a known key has a value of another type; the message names both.
        :raises NewerVersionError: the document was written by a newer version of the format.
        """
        schema.complete(fields)
        self.fields = fields
        self.verdicts: dict[Key, JsonObject] = {}
        self.outstanding: dict[Key, JsonObject] = {}
        # Other tools may record a validation twice. The older verdict stays until one written by this package
        # replaces both. If there are such validations, these hold every verdict in the order of the list, and
        # the keys of the older verdicts. Otherwise they are empty.
        self._listed: dict[Key | tuple[str, str, int], JsonObject] = {}
        self._older: dict[Key, list[tuple[str, str, int]]] = {}
        results = fields.pop("validation_results")
        for verdict in results:
            self.verdicts[key_of(verdict)] = verdict
        if len(self.verdicts) < len(results):
            self._list_all(results)
        for entry in fields.pop("outstanding_validations"):
            self.outstanding[key_of(entry)] = entry

    def _list_all(self, results: list[JsonObject]) -> None:
        for position, verdict in enumerate(results):
            key = key_of(verdict)
            if verdict is self.verdicts[key]:
                self._listed[key] = verdict
            else:
                self._listed[*key, position] = verdict
                self._older.setdefault(key, []).append((*key, position))

    def all_verdicts(self) -> Iterable[JsonObject]:
        """Return every verdict in the order of the list, the older ones of a validation included."""
        return (self._listed or self.verdicts).values()

    def copy(self) -> Document:
        """Return a document that can be changed without changing this one. Verdicts and items are shared."""
        other = object.__new__(Document)
        other.fields = copied(self.fields)
        other.verdicts = dict(self.verdicts)
        other.outstanding = dict(self.outstanding)
        other._listed = dict(self._listed)
        other._older = dict(self._older)
        return other

    # --- queries ---

    @property
    def phase(self) -> Phase:
        """The current phase."""
        return Phase(self.fields["phase"])

    @property
    def rollback_available(self) -> bool:
        """True if the migration can be rolled back."""
        return self.fields["rollback_available"] is not False

    @property
    def metadata(self) -> JsonObject:
        """The metadata of the state."""
        found: JsonObject = self.fields["metadata"]
        return found

    @property
    def migration_id(self) -> str | None:
        """The id of the migration, or ``None`` in a document of another tool."""
        return self.metadata.get("migration_id")

    @property
    def audit(self) -> tuple[int, str] | None:
        """Sequence number and hash of the last log entry in this document; ``None`` if it names none."""
        audit = self.metadata.get("audit")
        return (audit["seq"], audit["hash"]) if audit else None

    @property
    def content_digest(self) -> str | None:
        """The digest of the bytes that this package wrote last; ``None`` if the document names none."""
        digest = (self.metadata.get("audit") or {}).get("content")
        return digest if isinstance(digest, str) else None

    @property
    def lost_entries(self) -> str | None:
        """What the log has lost, in words, until somebody accepts it; ``None`` if it has lost nothing."""
        lost = self.metadata.get("lost_entries")
        return str(lost) if lost else None

    def note_lost_entries(self, lost: str) -> None:
        """Note that the log has lost entries. Version 1 would pass over that.

        :param lost: what is missing, in words.
        """
        self.metadata["lost_entries"] = lost
        self.metadata.update(schema.raised_version(self.metadata))

    @property
    def open_runs(self) -> Mapping[str, JsonObject]:
        """The runs that began and whose end is not recorded, by id."""
        return as_object(self.metadata.get("open_runs"))

    @property
    def collecting_runs(self) -> dict[str, JsonObject]:
        """The open runs whose plan is not recorded yet, by id."""
        runs = self.open_runs.items()
        return {run_id: run for run_id, run in runs if isinstance(run, dict) and run.get("collecting")}

    def is_known(self, key: Key) -> bool:
        """Return True if a validation has a verdict or is outstanding."""
        return key in self.verdicts or key in self.outstanding

    def is_settled(self, key: Key) -> bool:
        """Return True if an outstanding validation has a verdict that settles it although it is still listed.

        For a verdict that a run recorded, the order of the log decides, not a clock. If that verdict still
        exists, it was recorded after the plan, and the validation waits only for other runs. (In a Completed
        migration the verdict may be older, and counts.) Clocks decide only for verdicts of other tools.
        """
        verdict = self.verdicts.get(key)
        entry = self.outstanding[key]
        if verdict is None:
            return False
        if entry["reason"] == "pending" and self.phase is Phase.COMPLETED:
            return True
        if verdict.get("run_id"):
            runs = runs_of(entry)
            if entry["reason"] != "pending" or not runs or not self.open_runs.keys().isdisjoint(runs):
                return False
            # It is older if the migration was Completed when the plan was made, and is no longer. A clock may
            # keep the gate shut.
            return not _is_later(entry.get("since"), verdict.get("tested_at"))
        return _is_later(verdict.get("tested_at"), entry.get("since"))

    # --- changes by events (see domain.target.Target) ---

    def begin(self, migration: JsonObject) -> None:
        """Become the document of another migration. The position in the log is kept."""
        audit = self.metadata.get("audit")
        new = new_document(migration["started_at"], migration["migration_id"], migration["platform"])
        for name in self.__slots__:
            setattr(self, name, getattr(new, name))
        if audit:
            self.metadata["audit"] = audit

    def adopt(self, content: JsonObject) -> None:
        """Become a document that was taken over as it was. The position in the log is kept."""
        audit = self.metadata.get("audit")
        new = Document(copied(content))
        for name in self.__slots__:
            setattr(self, name, getattr(new, name))
        if audit:
            self.metadata["audit"] = audit

    def set_field(self, name: str, value: Any) -> None:
        """Set a top-level key."""
        self.fields[name] = value

    def set_data(self, key: str, path: str | None) -> None:
        """Record where data was saved; ``None`` removes the key."""
        _merge(self.fields["data_preserved"], {key: path})

    def append_item(self, name: str, item: JsonObject) -> None:
        """Append to a list."""
        self.fields[name].append(item)

    def change_item(self, name: str, before: JsonObject, after: JsonObject) -> None:
        """Replace an item of a list."""
        self.fields[name] = [after if item == before else item for item in self.fields[name]]

    def set_verdict(self, key: Key, verdict: JsonObject | None) -> None:
        """Record a verdict in place of every other one of its validation; ``None`` removes them."""
        self.verdicts.pop(key, None)
        if self._listed:
            for older in self._older.pop(key, ()):
                del self._listed[older]
            self._listed.pop(key, None)
            if verdict is not None:
                self._listed[key] = verdict
        if verdict is not None:
            self.verdicts[key] = verdict

    def mark_stale(self, component: str, since: str | None, but: Collection[str] = ()) -> None:
        """Mark the verdicts of a component as stale. Their order stays."""
        for key in becoming_stale(self.verdicts, component, but):
            # Verdicts are shared with copies of this document.
            marked = {**self.verdicts[key], "stale_since": since}
            self.verdicts[key] = marked
            if self._listed:
                self._listed[key] = marked

    def outstanding_entry(self, key: Key) -> JsonObject | None:
        """Return the outstanding entry of a validation; ``None`` if it has none."""
        return self.outstanding.get(key)

    def set_outstanding(self, key: Key, entry: JsonObject | None) -> None:
        """Set the outstanding entry of a validation; ``None`` removes it."""
        if entry is None:
            self.outstanding.pop(key, None)
        else:
            self.outstanding[key] = entry

    def merge_metadata(self, patch: JsonObject) -> None:
        """Apply a JSON Merge Patch (RFC 7396) to the metadata."""
        _merge(self.metadata, patch)
        if self.metadata.get("open_runs") == {}:
            del self.metadata["open_runs"]

    def touch(self, timestamp: str) -> None:
        """Record that the document was changed."""
        self.metadata["revision"] = (self.metadata.get("revision") or 0) + 1
        self.fields["last_updated"] = timestamp

    # --- writing ---

    def _in_order(self) -> Iterator[tuple[str, Any]]:
        """Yield the top level: the format's keys in the format's order, then those of other tools."""
        indexed = {
            "validation_results": self.all_verdicts(),
            "outstanding_validations": self.outstanding.values(),
        }
        for key in schema.KEYS:
            yield key, indexed.get(key, self.fields.get(key))
        yield from ((key, value) for key, value in self.fields.items() if key not in schema.KEYS)

    def to_object(self) -> JsonObject:
        """Return the document as a JSON object. It shares its parts with this document: do not change it."""
        found = dict(self._in_order())
        return found | {key: list(found[key]) for key in schema.LISTS}

    def encoded(self) -> Iterator[bytes]:
        """Yield the document's bytes in pieces. The text of a large list is never in memory as a whole."""
        expect(len(self.verdicts) + len(self.outstanding))
        opening = b"{\n"
        for key, value in self._in_order():
            yield b"%b  %b: " % (opening, to_json_bytes(key))
            opening = b",\n"
            yield from _encoded_list(value) if key in schema.LISTS else (_indented(value),)
        yield b"\n}\n"


def _indented(value: object) -> bytes:
    """Return the JSON of a value, indented for the document's first level.

    JSON strings contain no line ends, so every line end belongs to the layout.
    """
    return to_json_bytes(value, 2).replace(b"\n", b"\n  ")


_PIECE: Final = 256


def _encoded_list(items: Iterable[JsonObject]) -> Iterator[bytes]:
    """Yield the JSON of a list of objects, :data:`_PIECE` of them at a time."""
    rest = iter(items)
    opening = b"["
    while piece := list(islice(rest, _PIECE)):
        # Remove the brackets and line ends that this piece has as a list of its own.
        yield opening + _indented(piece)[1:-4]
        opening = b","
    yield b"[]" if opening == b"[" else b"\n  ]"


def new_document(now: str | None, migration_id: str, platform: str) -> Document:
    """Return the document of a migration that begins at ``now`` (``None``: not yet)."""
    return Document(
        {
            "phase": Phase.NOT_STARTED.value,
            "started_at": now,
            "last_updated": now,
            "metadata": {
                "version": schema.FORMAT_VERSION,
                "migration_type": "docker_to_native",
                "platform": platform,
                "migration_id": migration_id,
                "revision": 0,
            },
        }
    )


def _is_later(tested_at: str | None, since: str | None) -> bool:
    return tested_at is not None and since is not None and parse_time(tested_at) > parse_time(since)


def copied(fields: JsonObject) -> JsonObject:
    """Return a copy of the fields of a document, as deep as they are changed (items of lists are not)."""
    return {key: _copied(value) for key, value in fields.items()}


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return copied(value)
    if isinstance(value, list):
        return list(value)
    return value


def _merge(target: JsonObject, patch: JsonObject) -> None:
    """Apply a JSON Merge Patch (RFC 7396): objects are merged, ``null`` removes."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            # Merge into a new dict: the event must keep its data, since it may be applied again.
            if not isinstance(target.get(key), dict):
                target[key] = {}
            _merge(target[key], value)
        else:
            target[key] = value
