"""Another program that changes the state while tests run: its change counts."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from outcome_table import BOTH_DEEP
from recorded import COMPONENT, Suite

from pytest_migration_state import Phase
from state_files import in_validation

#: The other program works in the second test, when the verdict of the first one is on record: in the run's
#: journal or, with workers, in the log by then. The third one waits for its line.
_SUITE: Final = """
import glob
sys.path.insert(0, {tests!r})
from powershell_writer import PowerShellWriter
state, log = {state!r}, {log!r}
def wait_for(words):
    for _ in range(1500):
        for path in [log, *glob.glob(state + ".run-*")]:
            if words in open(path, encoding="utf-8").read(): return
        time.sleep(0.02)
    raise TimeoutError(words)
@component
def test_1(): pass
@component
def test_2():
    wait_for("::test_1")
    PowerShellWriter(state).{change}
@component
def test_3():
    wait_for('{line}')
"""


def _write(suite: Suite, change: str, line: str) -> None:
    tests = str(Path(__file__).parents[1])
    log = suite.path.with_name("migration-audit.log")
    content = _SUITE.format(tests=tests, state=str(suite.path), log=str(log), change=change, line=line)
    suite.write(content)


@pytest.mark.parametrize("how", BOTH_DEEP)
def test_a_newer_failure_of_another_program_counts(suite: Suite, how: str) -> None:
    """Our older verdict is not replayed over it, and the run does not complete."""
    _write(suite, f"result('{COMPONENT}', 'test_it.py::test_1', 'false')", "FAILED")
    result = suite.run("--migration-complete", how=how)
    assert result.status == 1
    assert suite.books == {"::test_1": "failed", "::test_2": "passed", "::test_3": "passed"}
    assert suite.phase == Phase.VALIDATION
    assert suite.tracker.verify().problems == ()
    assert not suite.can_be_completed()


@pytest.mark.parametrize("how", BOTH_DEEP)
def test_a_migration_begun_during_a_run_ends_it_red(suite: Suite, how: str) -> None:
    """The verdicts stay with the old migration, which the next command keeps, and the run says so."""
    suite.path.unlink()
    in_validation(suite.path)
    _write(suite, "initialize()", '"timestamp":"20')
    result = suite.run("--migration-complete", how=how)
    assert result.status == 1
    assert "its migration was replaced by a new one during the run" in result.output
    assert (suite.phase, suite.books) == (Phase.NOT_STARTED, {})
    suite.tracker.write_audit("Notice", "the next command")
    assert suite.tracker.verify().problems == ()
    assert len([*suite.folder.glob(f"{suite.path.name}.replaced-*")]) == 1
