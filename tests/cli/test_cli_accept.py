"""``accept``: a state whose record is not whole is accepted by somebody, and every report says so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from commandline import contents, document, walk

if TYPE_CHECKING:
    from pathlib import Path

    from commandline import Run, Start

ACCEPT = ("accept", "--by", "ops", "--reason", "OPS-9: the disk died")
LOST = "the audit log is gone: entries 1 to 6 are missing"


def without_log(run: Run, folder: Path) -> None:
    """A migration in Validation whose gate would be open, and whose log was deleted."""
    walk(run)
    assert run("result", "hive", "t", "--passed").status == 0
    assert run("gate").status == 0
    (folder / "migration-audit.log").unlink()


def test_a_log_that_was_deleted_keeps_the_gate_shut_until_it_is_accepted(
    run: Run, start: Start, folder: Path
) -> None:
    """From the deleted log to Completed, by the command line alone."""
    without_log(run, folder)
    fix = (
        "restore the log from a copy if nothing was recorded since, or accept the state without them: "
        "migration-state accept -s migration-state.json --by WHO --reason TEXT"
    )
    shut = start("gate")
    assert (shut.status, shut.out) == (1, f"shut: 1 blocker; phase Validation\n  - {LOST} -> {fix}\n")
    assert start("phase", "Completed").status == 1
    assert start("verify").status == 1
    assert start(*ACCEPT)[:2] == (0, "Accepted by ops: the state is as the document has it\n")
    at = document(folder)["metadata"]["accepted"][0]["at"]
    note = f"accepted by ops at {at} (OPS-9: the disk died): "
    opened = start("gate")
    assert opened.status == 0
    assert opened.out.splitlines()[1].startswith(f"note: {note}")
    verified = start("verify")
    assert verified.status == 0
    gap = "line 1: entries 1 to 6 are missing before it"
    assert verified.out.splitlines()[1].startswith(f"note: {note}{gap}")
    assert start("phase", "Completed").status == 0
    assert start("verify").status == 0
    assert note in start("show").out


def test_a_log_that_was_cut_keeps_the_gate_shut(run: Run, folder: Path) -> None:
    """The document names an entry that the log does not reach."""
    walk(run)
    assert run("result", "hive", "t", "--passed").status == 0
    log = folder / "migration-audit.log"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-2]))
    assert "the audit log has lost entries 5 to 6" in run("gate").out
    assert run(*ACCEPT).status == 0
    assert (run("gate").status, run("verify").status) == (0, 0)


def test_reports_show_lost_entries(run: Run, folder: Path) -> None:
    """The overview and the verification name them."""
    without_log(run, folder)
    assert f"Note        {LOST}\n" in run("show").out
    assert f"note: the gate is shut until 'migration-state accept': {LOST}\n" in run("verify").out


def test_acceptances_are_in_the_json(run: Run, folder: Path) -> None:
    """A machine reads who accepted what, and why."""
    without_log(run, folder)
    assert json.loads(run("gate", "--json").out)["accepted"] == []
    run(*ACCEPT)
    (one,) = json.loads(run("gate", "--json").out)["accepted"]
    assert one.pop("at") <= document(folder)["last_updated"]
    assert one == {
        "by": "ops",
        "reason": "OPS-9: the disk died",
        "what": "the audit log migration-audit.log is gone, and with it entries 1 to 6",
    }


def test_a_record_that_is_whole_is_refused(run: Run, folder: Path) -> None:
    """One sentence, and nothing is changed."""
    walk(run)
    before = contents(folder)
    status, out, err = run(*ACCEPT)
    assert (status, out, contents(folder)) == (1, "", before)
    assert err.startswith("migration-state: error: There is nothing to accept: ")
    assert err.count("\n") == 1


def test_without_a_state_nothing_is_created(run: Run, folder: Path) -> None:
    """There is nothing whose record could be accepted."""
    assert run(*ACCEPT).status == 3
    assert contents(folder) == {}


def test_a_log_that_cannot_be_used_is_not_accepted(run: Run, folder: Path) -> None:
    """The log of another migration: the state cannot be loaded until the log is moved away."""
    without_log(run, folder)
    run("init", "-s", "other/migration-state.json")
    for number in range(9):
        run("container", f"c{number}", "id", "-s", "other/migration-state.json")
    log = (folder / "other" / "migration-audit.log").rename(folder / "migration-audit.log")
    assert run(*ACCEPT).status == 3
    log.rename(folder / "moved-away.log")
    assert run(*ACCEPT).status == 0
    assert (run("gate").status, run("verify").status) == (0, 0)


@pytest.mark.parametrize("missing", ["--by", "--reason"])
def test_who_and_why_are_required(run: Run, missing: str) -> None:
    """Nobody accepts without a name and a reason."""
    given = [word for option in ("--by", "--reason") if option != missing for word in (option, "x")]
    assert run("accept", *given).status == 2
