"""The state document: its bytes, its shape, and the working form in which it is changed.

What others leave is read for what it means (BOM, CRLF, ``null`` for a list, a bare object for a list of one, Windows
PowerShell 5.1's ``{"value": […], "Count": N}``), and what we do not change is written back as it was. The shape is
checked here by hand and not by the models of :mod:`~pytest_migration_state.core.models`, because loading pydantic's
models costs more than all the rest of a command.
"""

from __future__ import annotations

import json
import math
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import PydanticSerializationError, to_json

from pytest_migration_state.core.phases import Phase
from pytest_migration_state.core.text import parse_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

#: A validation's identity: (component, test_name).
Key = tuple[str, str]
JsonObject = dict[str, Any]

FORMAT_VERSION: Final = "1.0"
#: Why a validation is outstanding.
REASONS: Final = ("pending", "deselected", "skipped", "collection_error")

LISTS: Final = ("docker_containers_removed", "native_processes_started", "validation_results", "outstanding_validations")
_KEYS: Final = (
    "phase", "started_at", "completed_at", "last_updated", "docker_containers_removed", "data_preserved", "native_processes_started",
    "validation_results", "rollback_available", "error", "metadata", "outstanding_validations",
)  # fmt: skip


class NewerVersionError(ValueError):
    """The document's major version is higher than ours."""


# --- bytes ------------------------------------------------------------------------------------------------------------


def _unique(pairs: list[tuple[str, Any]]) -> JsonObject:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        doubled = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # add() returns None
        raise ValueError(f"the key {doubled!r} stands twice in one object")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON number")


_decoder: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_constant)


def decode_object(data: bytes) -> JsonObject:
    """The JSON object that ``data`` holds.

    :raises ValueError: it holds none, or one that cannot be kept as it is (a key twice, NaN, nested too deep).
    """
    try:
        value = _decoder.decode(data.decode("utf-8-sig"))
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(value, dict):
        kind = {list: "a list", str: "a text", type(None): "null"}.get(type(value), "a number or truth value")
        raise ValueError(f"it holds {kind} where a JSON object is expected")
    return value


def is_cut_short(data: bytes, error: ValueError) -> bool:
    """Does ``data``, which gave ``error``, look like the beginning of a document that is being written?"""
    if not data.strip():
        return True
    if isinstance(error, UnicodeDecodeError):
        return error.end == len(data)
    # The longest thing whose beginning is reported at its start, strings apart, is a \uXXXX escape or a constant.
    return isinstance(error, json.JSONDecodeError) and (
        error.msg.startswith("Unterminated string") or error.pos >= len(error.doc.rstrip()) - 12
    )


def encoded(value: object, indent: int | None = None) -> bytes:
    """``value`` as JSON in UTF-8, non-ASCII as it is; compact, or over several lines."""
    try:
        # What is no JSON number becomes null: a document that holds NaN could not be read any more.
        return to_json(value, indent=indent, inf_nan_mode="null")
    except PydanticSerializationError:
        # A lone surrogate of another tool, which stays what it was (the escape \udXXX), or nested deeper than that goes. What is no
        # JSON number is an error then.
        separators = (",", ":") if indent is None else None
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent, separators=separators)
        return text.encode("utf-8", "backslashreplace")


# --- working form -----------------------------------------------------------------------------------------------------


class Document:
    """The state in its working form: the fields of the document, its verdicts and outstanding validations indexed.

    :ivar fields: every key of the document but the two indexed lists.
    :ivar verdicts: the newest verdict of each validation, in the order of the list.
    :ivar outstanding: what has no verdict, by validation.
    """

    __slots__ = ("_listed", "_older", "fields", "outstanding", "verdicts")

    def __init__(self, fields: JsonObject) -> None:
        """Take ``fields``, a decoded document, as its own.

        :raises ValueError: a key that we know has a value that it cannot have; the message names it.
        :raises NewerVersionError: the format's major version is higher than ours.
        """
        self.fields = fields
        self.verdicts: dict[Key, JsonObject] = {}
        self.outstanding: dict[Key, JsonObject] = {}
        # Other tools record a validation twice, and the older verdict stays until one of ours replaces both. Where that
        # is so, these hold every verdict in the list's order, and what the older ones of a validation are filed under.
        self._listed: dict[Key | tuple[str, str, int], JsonObject] = {}
        self._older: dict[Key, list[tuple[str, str, int]]] = {}
        _check_fields(fields)
        results = fields.pop("validation_results")
        for verdict in results:
            self.verdicts[verdict["component"], verdict["test_name"]] = verdict
        if len(self.verdicts) < len(results):
            self._list_all(results)
        for entry in fields.pop("outstanding_validations"):
            self.outstanding[entry["component"], entry["test_name"]] = entry

    def _list_all(self, results: list[JsonObject]) -> None:
        for position, verdict in enumerate(results):
            key = (verdict["component"], verdict["test_name"])
            if verdict is self.verdicts[key]:
                self._listed[key] = verdict
            else:
                self._listed[*key, position] = verdict
                self._older.setdefault(key, []).append((*key, position))

    def _unlist(self, key: Key) -> None:
        if not self._listed:
            return
        for older in self._older.pop(key, ()):
            del self._listed[older]
        self._listed.pop(key, None)

    # What the rules ask for.

    @property
    def phase(self) -> Phase:
        return Phase(self.fields["phase"])

    @property
    def rollback_available(self) -> bool:
        return self.fields["rollback_available"] is not False

    @property
    def metadata(self) -> JsonObject:
        found: JsonObject = self.fields["metadata"]
        return found

    @property
    def audit(self) -> tuple[int, str] | None:
        """Sequence number and hash of the last log entry that this document contains; ``None`` where it names none."""
        audit = self.metadata.get("audit")
        return (audit["seq"], audit["hash"]) if audit else None

    # Changes that are more than setting a field.

    def put_verdict(self, verdict: JsonObject) -> None:
        """Record a verdict. It replaces every other one of its validation, and settles it.

        The verdict of a run does not settle what another run that has not finished still has to give one for.
        """
        key = (verdict["component"], verdict["test_name"])
        self.verdicts.pop(key, None)
        self.verdicts[key] = verdict
        entry = self.outstanding.pop(key, None)
        if entry is not None and (run_id := verdict.get("run_id")):
            unfinished = open_runs(self)
            waiting = [other for other in runs_of(entry) if other != run_id and other in unfinished]
            if waiting:
                self.outstanding[key] = waiting_for(entry, waiting)
        if self._listed:
            self._unlist(key)
            self._listed[key] = verdict

    def put_outstanding(self, entry: JsonObject) -> None:
        """Put a validation on record. One that is about to run (``pending``) loses its verdict.

        In a Completed migration it keeps its verdict until the run has given it another: that it is validated again does not
        make it incomplete. What ran and was left without a verdict, for a reason that is told, loses it there too.
        """
        key = (entry["component"], entry["test_name"])
        if loses_verdict(entry, self.fields["phase"]):
            self.verdicts.pop(key, None)
            self._unlist(key)
        self.outstanding[key] = entry

    def forget(self, key: Key) -> None:
        """Take a validation off the record."""
        self.verdicts.pop(key, None)
        self._unlist(key)
        self.outstanding.pop(key, None)

    def is_settled(self, key: Key) -> bool:
        """Whether an outstanding validation has a verdict that settles it although it is still listed.

        Where a run gave the verdict, the order of the log decides and no clock: a verdict that is still there came after the
        plan, and waits only for other runs (in a Completed migration it may be older, and counts). Clocks decide about the
        verdicts of other tools alone.
        """
        verdict, entry = self.verdicts.get(key), self.outstanding[key]
        if verdict is None:
            return False
        if entry["reason"] == "pending" and self.phase is Phase.COMPLETED:
            return True
        if verdict.get("run_id"):
            runs = runs_of(entry)
            return entry["reason"] == "pending" and bool(runs) and not any(run_id in open_runs(self) for run_id in runs)
        tested_at, since = verdict.get("tested_at"), entry.get("since")
        return bool(tested_at) and bool(since) and parse_time(str(tested_at)) > parse_time(str(since))

    # Out again.

    def _in_order(self) -> Iterator[tuple[str, Any]]:
        """The top level: the format's keys in the format's order, then those of others."""
        indexed = {
            "validation_results": (self._listed or self.verdicts).values(),
            "outstanding_validations": self.outstanding.values(),
        }
        for key in _KEYS:
            yield key, indexed[key] if key in indexed else self.fields[key]
        yield from ((key, value) for key, value in self.fields.items() if key not in _KEYS)

    def to_object(self) -> JsonObject:
        """The document as JSON knows it. Shares its parts with this working form: read it, do not change it."""
        return {key: list(value) if key in LISTS else value for key, value in self._in_order()}

    def encoded(self) -> Iterator[bytes]:
        """The document's bytes, in pieces: a large list is never held as text as a whole."""
        opening = b"{\n"
        for key, value in self._in_order():
            yield b"%b  %b: " % (opening, encoded(key))
            opening = b",\n"
            yield from _encoded_list(value) if key in LISTS else (_indented(value),)
        yield b"\n}\n"


def _indented(value: object) -> bytes:
    """A value on the document's first level. No text in JSON holds a line end of its own, so each is one of the layout."""
    return encoded(value, 2).replace(b"\n", b"\n  ")


_PIECE: Final = 256


def _encoded_list(items: Iterable[JsonObject]) -> Iterator[bytes]:
    """A list of objects, :data:`_PIECE` of them at a time."""
    rest = iter(items)
    opening = b"["
    while piece := list(islice(rest, _PIECE)):
        # Without the brackets and line ends of a list of its own.
        yield opening + _indented(piece)[1:-4]
        opening = b","
    yield b"[]" if opening == b"[" else b"\n  ]"


# --- shape ------------------------------------------------------------------------------------------------------------


def new_document(now: str | None, migration_id: str, platform: str) -> Document:
    """The document of a migration that begins at ``now`` (``None``: not yet)."""
    return Document(
        {
            "phase": Phase.NOT_STARTED.value,
            "started_at": now,
            "last_updated": now,
            "metadata": {
                "version": FORMAT_VERSION,
                "migration_type": "docker_to_native",
                "platform": platform,
                "migration_id": migration_id,
                "revision": 0,
            },
        }
    )


def _as_list(value: object) -> list[Any]:
    """A list as other tools write it, as a list."""
    if value is None:
        return []
    if isinstance(value, dict):
        if value.keys() == {"value", "Count"} and isinstance(value["value"], list):
            return value["value"]
        return [value] if value else []
    if isinstance(value, list):
        return value
    raise ValueError(f"it is {value!r}, where a list is expected")


def _text(value: object) -> bool:
    return isinstance(value, str)


def _optional_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _time(value: object) -> bool:
    if value is None:
        return True
    try:
        parse_time(value)  # type: ignore[arg-type]  # a value of another type raises TypeError, which is the answer
    except (TypeError, ValueError):
        return False
    return True


def _number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


#: What each object in a list must have. A value that is not required may be missing or null.
_ITEMS: Final[dict[str, tuple[dict[str, Callable[[object], bool]], frozenset[str]]]] = {
    "docker_containers_removed": ({"name": _text, "id": _optional_text, "removed_at": _time}, frozenset({"name"})),
    "native_processes_started": ({"name": _text, "process_id": _number, "started_at": _time}, frozenset({"name"})),
    "validation_results": (
        {
            "component": _text, "test_name": _text, "passed": lambda value: isinstance(value, bool), "error_message": _optional_text,
            "tested_at": _time, "outcome": _optional_text, "duration_seconds": _number, "run_id": _optional_text, "attempts": _number,
        },
        frozenset({"component", "test_name", "passed"}),
    ),
    "outstanding_validations": (
        {"component": _text, "test_name": _text, "reason": REASONS.__contains__, "since": _time, "detail": _optional_text},
        frozenset({"component", "test_name", "reason"}),
    ),
}  # fmt: skip


def _check_fields(fields: JsonObject) -> None:
    """Check and complete the keys that we know: a missing one gets the value that means nothing happened yet."""
    metadata = fields["metadata"] = {} if fields.get("metadata") is None else fields["metadata"]
    if not isinstance(metadata, dict):
        raise ValueError(f"'metadata' is {metadata!r}, where an object is expected")
    _check_version(metadata.get("version"))
    phase = fields.get("phase")
    if phase not in tuple(Phase):
        raise ValueError(f"'phase' is {phase!r}, which is none of {', '.join(Phase)}")
    for key in ("started_at", "completed_at", "last_updated"):
        if not _time(fields.setdefault(key, None)):
            raise ValueError(f"'{key}' is {fields[key]!r}, which is no time")
    if fields.setdefault("rollback_available", True) not in (True, False, None):
        raise ValueError(f"'rollback_available' is {fields['rollback_available']!r}, which is neither true nor false")
    error = fields.setdefault("error", None)
    if error is not None and not (isinstance(error, dict) and _optional_text(error.get("message")) and _time(error.get("occurred_at"))):
        raise ValueError(f"'error' is {error!r}, where null or an object with 'message' and 'occurred_at' is expected")
    preserved = fields["data_preserved"] = fields.get("data_preserved") or {}
    if not isinstance(preserved, dict) or not all(_optional_text(path) for path in preserved.values()):
        raise ValueError("'data_preserved' is not an object of texts")
    audit = metadata.get("audit")
    if audit is not None and not (
        isinstance(audit, dict) and type(audit.get("seq")) is int and audit["seq"] >= 0 and isinstance(audit.get("hash"), str)
    ):
        raise ValueError(f"'metadata.audit' is {audit!r}, where an object with 'seq' and 'hash' is expected")
    if metadata.get("revision") is not None and type(metadata["revision"]) is not int:
        raise ValueError(f"'metadata.revision' is {metadata['revision']!r}, which is no whole number")
    for key in LISTS:
        try:
            fields[key] = _as_list(fields.get(key))
        except ValueError as error:
            raise ValueError(f"'{key}': {error}") from None
        _check_items(key, fields[key])


def _check_version(version: object) -> None:
    if version is None:
        return
    major = str(version).partition(".")[0]
    if not major.isdecimal():
        raise ValueError(f"'metadata.version' is {version!r}, which is no version")
    if int(major) > int(FORMAT_VERSION.partition(".")[0]):
        raise NewerVersionError(str(version))


def _check_items(key: str, items: list[Any]) -> None:
    shape, required = _ITEMS[key]
    fields = shape.items()
    for item in items:
        if not isinstance(item, dict) or not item.keys() >= required:
            _refuse(key, items, item, required)
        for field, is_valid in fields:
            value = item.get(field)
            if not is_valid(value) and (value is not None or field in required):
                index = next(i for i, other in enumerate(items) if other is item)
                raise ValueError(f"'{key}[{index}].{field}' is {value!r}, which it cannot be")


def _refuse(key: str, items: list[Any], item: object, required: Iterable[str]) -> None:
    index = next(i for i, other in enumerate(items) if other is item)
    raise ValueError(f"'{key}[{index}]' is {str(item)[:80]!r}, where an object with {', '.join(sorted(required))} is expected")


def clashing_key(keys: Iterable[str], new: str) -> str | None:
    """The key among ``keys`` that PowerShell, which ignores case, could not tell from ``new``."""
    folded = new.casefold()
    return next((key for key in keys if key != new and key.casefold() == folded), None)


def runs_of(entry: JsonObject) -> list[str]:
    """The runs that are to give an outstanding validation its verdict, the newest first."""
    first, others = entry.get("run_id"), entry.get("other_runs")
    return [run_id for run_id in (first, *(others if isinstance(others, list) else ())) if isinstance(run_id, str)]


def loses_verdict(entry: JsonObject, phase: object) -> bool:
    """Whether a validation that becomes outstanding in this phase loses the verdict that it has."""
    return entry["reason"] == "pending" and (phase != Phase.COMPLETED or bool(entry.get("detail")))


def waiting_for(entry: JsonObject, run_ids: list[str]) -> JsonObject:
    """A pending validation that waits for the verdicts of these runs."""
    waiting = {key: value for key, value in entry.items() if key not in {"run_id", "other_runs"}}
    if run_ids:
        waiting["run_id"] = run_ids[0]
    if len(run_ids) > 1:
        waiting["other_runs"] = run_ids[1:]
    return waiting


def collecting_runs(document: Document) -> dict[str, JsonObject]:
    """The open runs that have not said yet what they will run, by their id."""
    return {run_id: run for run_id, run in open_runs(document).items() if isinstance(run, dict) and run.get("collecting")}


def open_runs(document: Document) -> Mapping[str, JsonObject]:
    """The runs that began and were not seen to end, by their id."""
    runs = document.metadata.get("open_runs")
    return runs if isinstance(runs, dict) else {}
