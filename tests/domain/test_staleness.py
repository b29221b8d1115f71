"""Verdicts on a process in whose place a newer one was started."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_migration_state.domain import events, operations
from pytest_migration_state.domain.document import Document, new_document
from pytest_migration_state.domain.staleness import becoming_stale
from pytest_migration_state.domain.verdict import Verdict

NOW, LATER, LAST = "2026-01-15T09:00:00Z", "2026-01-15T10:00:00Z", "2026-01-15T11:00:00Z"
HIVE, BACKUP, WORKER = ("hive", "t"), ("hive", "backup"), ("worker", "t")


def validated() -> Document:
    """A migration with a verdict of each kind."""
    document = new_document(NOW, "id", "linux")
    for key in (HIVE, BACKUP, WORKER):
        record(document, key)
    return document


def record(document: Document, key: tuple[str, str]) -> None:
    events.apply(document, events.verdict_recorded(NOW, Verdict(key, passed=True)).data, NOW)


def start(document: Document, name: str, now: str = LATER) -> dict[str, Any]:
    """Record a process, and return the data of its entry."""
    data = operations.add_native_process(document, now, name, 222).data
    events.apply(document, data, now)
    return data


def stale(document: Document) -> dict[tuple[str, str], str]:
    """The stale verdicts, with the times since which they are."""
    return {
        key: verdict["stale_since"] for key, verdict in document.verdicts.items() if "stale_since" in verdict
    }


def test_newer_process_makes_the_verdicts_of_its_component_stale() -> None:
    """Backups and other components keep their verdicts. The entry says so, and raises the version."""
    document = validated()
    assert becoming_stale(document.verdicts, "hive") == [HIVE]
    data = start(document, "hive")
    assert data["stale"] == [{"component": "hive", "since": LATER}]
    assert data["metadata"] == {"version": "2.0"}
    assert stale(document) == {HIVE: LATER}
    assert document.metadata["version"] == "2.0"
    assert list(document.verdicts) == [HIVE, BACKUP, WORKER]


@pytest.mark.parametrize("name", ["Hive", "hive ", "agent-zero"])
def test_process_of_another_name_makes_nothing_stale(name: str) -> None:
    """Names are compared exactly. The entry says nothing, and the version stays."""
    document = validated()
    assert start(document, name).keys() == {"native_processes_started"}
    assert (stale(document), document.metadata["version"]) == ({}, "1.0")


def test_process_that_was_recorded_first_makes_nothing_stale() -> None:
    """The order of entries decides: the verdict is about this process."""
    document = new_document(NOW, "id", "linux")
    start(document, "hive", now=LAST)
    record(document, HIVE)
    assert (stale(document), document.metadata["version"]) == ({}, "1.0")


def test_new_verdict_settles_a_stale_one() -> None:
    """The version stays: it is not lowered again."""
    document = validated()
    start(document, "hive")
    record(document, HIVE)
    assert (stale(document), document.metadata["version"]) == ({}, "2.0")


def test_stale_verdict_stays_as_it_is_when_another_process_follows() -> None:
    """It is stale since the first newer process."""
    document = validated()
    start(document, "hive")
    assert start(document, "hive", now=LAST).keys() == {"native_processes_started"}
    assert stale(document) == {HIVE: LATER}


def test_entry_of_the_first_version_makes_nothing_stale() -> None:
    """It says nothing of verdicts, so a replayed log of that version gives the same state as before."""
    document = validated()
    item = {"name": "hive", "process_id": 222, "started_at": LATER}
    events.apply(document, {"native_processes_started": [item]}, LATER)
    assert stale(document) == {}


def test_copy_of_a_document_stays_as_it_is() -> None:
    """Copies share their verdicts, so a mark must not be put into one of them."""
    document = validated()
    copy = document.copy()
    start(document, "hive")
    assert stale(copy) == {}


def test_older_verdict_of_another_tool_stays_in_the_list() -> None:
    """Of several verdicts of one validation the last counts, and only that one is marked."""
    results = [{"component": "hive", "test_name": "t", "passed": passed} for passed in (False, True)]
    document = Document({"phase": "Validation", "validation_results": results})
    start(document, "hive")
    written = document.to_object()["validation_results"]
    assert [(verdict["passed"], verdict.get("stale_since")) for verdict in written] == [
        (False, None),
        (True, LATER),
    ]


@pytest.mark.parametrize(
    ("version", "expected"), [(None, "2.0"), ("1.9", "2.0"), (1, "2.0"), ("2.1", "2.1"), (2, 2)], ids=repr
)
def test_version_is_raised_and_never_lowered(version: object, expected: object) -> None:
    """A later minor version of the same major one stays."""
    document = validated()
    document.metadata["version"] = version
    start(document, "hive")
    assert document.metadata["version"] == expected
