"""Acceptances of a record that is not whole."""

from __future__ import annotations

import pytest

from pytest_migration_state import InvalidArgumentError, NothingToAcceptError
from pytest_migration_state.domain.acceptance import NOTHING_FOUND, Findings, acceptances
from pytest_migration_state.domain.document import Document, new_document
from pytest_migration_state.domain.events import apply
from pytest_migration_state.domain.operations import accept_record

NOW = "2026-01-15T09:14:00.000Z"
LOST = "the audit log is gone: entries 1 to 5 are missing"
ONE = {"by": "ops", "at": NOW, "reason": "the disk died", "what": LOST}


def document_without_log() -> Document:
    document = new_document(NOW, "id", "linux")
    document.note_lost_entries(LOST)
    return document


def test_lost_entries_are_unknown_to_version_1() -> None:
    """Version 0.1.0 would pass over them, so it must refuse the document."""
    assert document_without_log().metadata["version"] == "2.0"


def test_acceptance_is_a_warning_with_everything_in_it() -> None:
    """It says by whom, why and what; its data settle what was lost, and name the lines that were verified."""
    findings = Findings(("line 2: changed", "line 3: changed"), 7, "9f2c")
    event = accept_record(document_without_log(), NOW, "ops", "the disk died", findings)
    assert event == (
        "RecordAccepted",
        "ops accepts the state as the document has it (the disk died): line 2: changed; line 3: changed",
        {
            "metadata": {
                "lost_entries": None,
                "accepted": [{**ONE, "what": "line 2: changed; line 3: changed"}],
            },
            "accepted_log": {"lines": 7, "sha256": "9f2c"},
        },
        "WARNING",
    )


def test_acceptances_are_appended() -> None:
    """A later one keeps those before it. What was lost is named where the verification finds nothing."""
    document = document_without_log()
    for _ in range(2):
        document.note_lost_entries(LOST)
        event = accept_record(document, NOW, "ops", "the disk died", NOTHING_FOUND)
        apply(document, event.data, NOW)
    assert (document.lost_entries, acceptances(document)) == (None, [ONE, ONE])


def test_many_problems_are_counted() -> None:
    """An acceptance names the first ones."""
    findings = Findings(tuple(f"line {number}: changed" for number in range(1, 9)), 9, "9f2c")
    event = accept_record(new_document(NOW, "id", "linux"), NOW, "ops", "r", findings)
    assert event.details.endswith("line 4: changed; line 5: changed; and 3 more")


def test_nothing_wrong_is_refused() -> None:
    """There is nothing to accept."""
    with pytest.raises(NothingToAcceptError):
        accept_record(new_document(NOW, "id", "linux"), NOW, "ops", "r")


@pytest.mark.parametrize(("by", "reason"), [("", "r"), ("ops", " ")])
def test_who_and_why_are_required(by: str, reason: str) -> None:
    """An acceptance without a name or a reason is worth nothing."""
    with pytest.raises(InvalidArgumentError, match="it must not be empty"):
        accept_record(document_without_log(), NOW, by, reason)


@pytest.mark.parametrize("found", [None, "System.Object[]", {"by": "ops"}, [None, "x"]])
def test_what_another_program_made_of_acceptances_is_passed_over(found: object) -> None:
    """ConvertTo-Json with its default depth writes them as text."""
    document = new_document(NOW, "id", "linux")
    document.metadata["accepted"] = found
    assert acceptances(document) == []
