"""Nested and repeated use of pytest, and options that change its output, do not change what is recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from recorded import ALONE, XDIST, in_short

from pytest_migration_state import MigrationTracker

if TYPE_CHECKING:
    from recorded import Suite

pytestmark = pytest.mark.deep

SUITE = "@component\ndef test_a(): pass\n@component\ndef test_b(): assert 0\n"
BOOKS = {"::test_a": "passed", "::test_b": "failed"}


QUIET = ["-p no:terminal", "-q", "--tb=no", "-W error"]
ALONE_TOO = ["-p no:cacheprovider", "-qq", "-v", "--no-summary", "--no-header", "-s", "-p no:logging"]


@pytest.mark.parametrize(
    ("option", "how"),
    [*((option, ALONE) for option in [*QUIET, *ALONE_TOO]), *((option, XDIST) for option in QUIET)],
)
def test_output_options_do_not_change_what_is_recorded(suite: Suite, option: str, how: str) -> None:
    """Verdicts and exit status are the same, whatever pytest prints."""
    suite.write(SUITE)
    result = suite.run(*option.split(), how=how)
    assert (result.status, suite.books) == (1, BOOKS)
    assert "ResourceWarning" not in result.output


ENDS_EARLY = "@component\ndef test_a(): pass\n@component\ndef test_b(): pytest.exit('', returncode=0)\n"
TROUBLE = [
    "1 selected validation did not run to the end and has no verdict",
    "not completed: 1 selected validation did not run to the end and has no verdict",
]


def test_problem_is_reported_without_a_terminal(suite: Suite) -> None:
    """If pytest prints nothing, standard error gives the reason for an exit status other than 0."""
    suite.write(ENDS_EARLY)
    result = suite.run("-p", "no:terminal", "--migration-complete")
    assert result.status == 1
    assert result.errors[-2:] == [f"migration-state: {words}" for words in TROUBLE]


@pytest.mark.parametrize("option", ["--no-summary", "-qq", "--tb=no"])
def test_problem_is_reported_without_a_summary(suite: Suite, option: str) -> None:
    """The problem is reported even if pytest prints less."""
    suite.write(ENDS_EARLY)
    result = suite.run(option, "--migration-complete")
    assert result.status == 1
    assert [words for words in TROUBLE if words not in result.output] == []


def test_shut_gate_is_reported_without_a_terminal(suite: Suite) -> None:
    """The result of --migration-complete is reported as well."""
    suite.write(SUITE)
    result = suite.run("-p", "no:terminal", "--migration-complete")
    assert result.status == 1
    assert result.errors[-1:] == ["migration-state: not completed: the gate is shut"]


NESTED = """
pytest_plugins = ["pytester"]

@component
def test_inner_fails(pytester):
    pytester.makepyfile(
        "import pytest\\n@pytest.mark.migration_component('inner')\\n"
        "def test_inner(migration_state): assert 0"
    )
    # One inner run records nothing, the other records in its own state.
    plugin = "-ppytest_migration_state.plugin"
    pytester.runpytest_inprocess(plugin).assert_outcomes(skipped=1)
    pytester.runpytest_inprocess(plugin, "--migration-state=inner.json").assert_outcomes(failed=1)
    from pytest_migration_state import MigrationTracker
    results = MigrationTracker(pytester.path / "inner.json").state.validation_results
    assert [(result.component, result.passed) for result in results] == [("inner", False)]

@component
def test_afterwards(migration_state):
    outstanding = migration_state.state.outstanding_validations
    assert [entry.test_name for entry in outstanding] == ["test_it.py::test_afterwards"]
"""


def test_suite_that_runs_pytest_is_recorded_separately(suite: Suite) -> None:
    """A suite that runs pytest itself, in the same process, is recorded separately."""
    suite.write(NESTED)
    result = suite.run()
    assert (result.status, suite.books) == (
        0,
        {"::test_inner_fails": "passed", "::test_afterwards": "passed"},
    )


def test_suite_that_runs_pytest_on_workers_is_recorded_separately(suite: Suite) -> None:
    """The same holds on xdist's workers."""
    suite.write(NESTED.partition("@component\ndef test_afterwards")[0])
    result = suite.run(how=XDIST)
    assert (result.status, suite.books) == (0, {"::test_inner_fails": "passed"})


def test_runs_in_one_process_are_recorded_separately(suite: Suite) -> None:
    """Of several runs in one process, each is recorded in its own state, and an unrecorded one in none."""
    suite.write({"test_it.py": SUITE, "test_more.py": "@component\ndef test_c(): pass"})
    suite.write(
        {
            "twice.py": """
                plugin = ["-p", "pytest_migration_state.plugin"]
                first = pytest.main([*plugin, "--migration-state=migration-state.json", "test_it.py"])
                second = pytest.main([*plugin, "--migration-state=second.json", "test_more.py"])
                third = pytest.main([*plugin, "test_more.py"])
                again = pytest.main([*plugin, "--migration-state=migration-state.json", "test_more.py"])
                assert (first, second, third, again) == (1, 0, 0, 0)
            """
        }
    )
    result = suite.run_python("twice.py")
    assert result.status == 0
    assert suite.books == {**BOOKS, "test_more.py::test_c": "passed"}
    assert in_short(MigrationTracker(suite.folder / "second.json").read().to_object()) == {
        "test_more.py::test_c": "passed"
    }
    assert [entry["action"] for entry in suite.log()].count("RunFinished") == 2


def test_plan_is_on_the_disk_before_the_first_test(suite: Suite) -> None:
    """When the first test starts, every selected validation is outstanding in the document itself."""
    suite.write(PLANNED)
    result = suite.run()
    assert (result.status, suite.books) == (0, {"::test[0]": "passed", "::test[1]": "passed"})


def test_plan_is_on_the_disk_before_the_first_test_of_a_worker(suite: Suite) -> None:
    """The same holds under xdist, although the controller collects nothing."""
    suite.write(PLANNED)
    result = suite.run(how=XDIST)
    assert (result.status, suite.books) == (0, {"::test[0]": "passed", "::test[1]": "passed"})


PLANNED = """
import json
@component
@pytest.mark.parametrize("n", range(2))
def test(n):
    with open("migration-state.json") as file:
        document = json.load(file)
    known = document["validation_results"] + document["outstanding_validations"]
    assert sorted(entry["test_name"] for entry in known) == ["test_it.py::test[0]", "test_it.py::test[1]"]
"""


@pytest.mark.parametrize("how", [ALONE, XDIST])
def test_what_the_fixture_writes_is_kept(suite: Suite, how: str) -> None:
    """Tests record data and processes of the migration while their own verdicts are recorded."""
    suite.write(
        """
        @component
        @pytest.mark.parametrize("n", range(10))
        def test(migration_state, n):
            migration_state.add_preserved_data(f"data-{n}", f"/backup/{n}")
            migration_state.add_native_process(f"process-{n}", n + 1)
            migration_state.add_validation_result("worker-aider", f"check-{n}", True)
        """
    )
    assert suite.run(how=how).status == 0
    state = suite.tracker.state
    assert sorted(state.data_preserved) == sorted(f"data-{n}" for n in range(10))
    assert sorted(process.process_id or 0 for process in state.native_processes_started) == list(range(1, 11))
    assert len(suite.books) == 20
    assert suite.can_be_completed()
