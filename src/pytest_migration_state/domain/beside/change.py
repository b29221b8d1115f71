"""What was found of other programs' changes, gathered into the one entry that puts it on record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pytest_migration_state.domain.beside.past import EXTERNAL
from pytest_migration_state.domain.events import PASSED_OR_FAILED, Event, describe
from pytest_migration_state.text import counted

if TYPE_CHECKING:
    from pytest_migration_state.types import JsonObject

#: Why a change was refused that opens what shuts the gate.
NOT_KNOWN: Final = "its writer did not know what it overrides; record it again"
LINE_ALONE: Final = "a line alone never opens; record it again"
BY_HAND: Final = "a verdict was changed by hand, its time was not"
NOT_OURS: Final = "only the log tells it"
RESERVED: Final = "PowerShell reserves this name, and could not read the document; record it under another"


@dataclass(slots=True)
class Change:
    """What other programs changed, as it will be put on record.

    :ivar data: the effect on the document.
    :ivar superseded: results that a later one in the same document replaced.
    :ivar refused: what was not taken, each with the reason.
    :ivar from_lines: what is known from its line alone: results and items.
    :ivar opens: whether something went away that kept the gate shut.
    :ivar beginning: in words, the migration that another program replaced by a new one; ``None`` if none.
    :ivar is_adoption: whether the whole document is taken as it is.
    """

    data: JsonObject = field(default_factory=dict)
    superseded: list[JsonObject] = field(default_factory=list)
    refused: list[JsonObject] = field(default_factory=list)
    from_lines: list[JsonObject] = field(default_factory=list)
    opens: bool = False
    beginning: str | None = None
    is_adoption: bool = False

    def add_item(self, key: str, item: JsonObject, *, from_line: bool = False) -> None:
        """Add an item to a list of the data."""
        self.data.setdefault(key, []).append(item)
        if from_line:
            self.from_lines.append(item)

    def refuse(self, key: str, value: Any, why: str) -> None:
        """Note that a change was not taken."""
        self.refused.append({key: value, "why": why})

    def __bool__(self) -> bool:
        return bool(self.data or self.refused or self.superseded)

    def to_event(self) -> Event:
        """Return the event that puts it on record."""
        data = dict(self.data)
        for key in ("superseded", "refused", "from_lines"):
            if found := getattr(self, key):
                data[key] = found
        level = "WARNING" if self.refused or self.opens or self.beginning is not None else "INFO"
        if self.beginning is not None:
            details = f"{describe('Initialize')} by another program; {self.beginning}"
            return Event("Initialize", details, data, level)
        return Event(EXTERNAL, self._in_words(), data, level)

    def _in_words(self) -> str:
        words = "Changed by another program"
        if self.is_adoption:
            words = "Taken over as the document has it"
        parts = [*_effects(self.data), *(_refusal(item) for item in self.refused)]
        return f"{words}: {', '.join(parts)}" if parts else words


def _effects(data: JsonObject) -> list[str]:
    parts = []
    results = [*data.get("validation_results", ()), *data.get("failed_meanwhile", ())]
    if results:
        failed = sum(not verdict["passed"] for verdict in results)
        parts.append(f"{counted(len(results), 'verdict')} ({failed} failed)")
    if "phase" in data:
        parts.append(f"phase {data['phase']}")
    if "rollback_available" in data:
        parts.append(_ROLLBACK[data["rollback_available"]])
    for key, noun in _NOUNS.items():
        # The version comes with stale verdicts.
        if values := [one for one in data.get(key, ()) if one != "version"]:
            parts.append(counted(len(values), *noun))
    if stale := data.get("stale"):
        parts.append(f"stale verdicts of {counted(len(stale), 'component')}")
    if "error" in data:
        parts.append("the error")
    if adopted := data.get("adopted"):
        found = counted(len(adopted["validation_results"]), "verdict")
        parts.append(f"phase {adopted['phase']}, {found}")
    return parts


_ROLLBACK: Final = {True: "rollback available", False: "rollback unavailable"}
_NOUNS: Final = {
    "docker_containers_removed": ("container", "containers"),
    "native_processes_started": ("process", "processes"),
    "data_preserved": ("path of saved data", "paths of saved data"),
    "other_fields": ("other value", "other values"),
    "metadata": ("value of the metadata", "values of the metadata"),
}


def _refusal(item: JsonObject) -> str:
    key, value = next(iter(item.items()))
    if key == "verdict":
        word = PASSED_OR_FAILED[value["passed"]]
        what = f"{word} of test '{value['test_name']}' for '{value['component']}'"
    elif key in {"phase", "rollback_available"}:
        what = f"{key} {value}"
    elif key == "data":
        what = f"data '{value['key']}'"
    else:
        what = key
    return f"refused {what} ({item['why']})"
