"""Each option, ini value, marker and fixture of the plugin, and the message for each invalid one."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import pytest
from outcome_table import BOTH_DEEP
from recorded import ALONE, XDIST, in_short

from pytest_migration_state import MigrationTracker
from pytest_migration_state.recording.sanitize import sanitize_unsendable_reports

if TYPE_CHECKING:
    from pathlib import Path

    from recorded import Suite

pytestmark = pytest.mark.quick_cases(1)

GOOD = "@component\ndef test_good(): pass\n"
BAD = "@component\ndef test_bad(): assert 0\n"
BOTH = pytest.mark.parametrize("how", [ALONE, XDIST])
DEEP_ON_WORKERS = pytest.mark.parametrize("how", BOTH_DEEP)


def folder_content(folder: Path) -> dict[str, bytes]:
    """Return every file except those of pytest itself and of Python."""
    return {
        path.name: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and ".pytest_cache" not in path.parts
    }


# --- --migration-state --------------------------------------------------------------------------------------


def test_missing_state_is_created(suite: Suite) -> None:
    """A missing state is created with its folder, and the summary says so."""
    suite.path = suite.folder / "new" / "folder" / "shard-3.json"
    suite.write(GOOD)
    result = suite.run()
    assert result.status == 0
    assert f"note: {suite.path}: created" in result.lines
    assert (
        f"migration state: {suite.path}, phase NotStarted, 0 passed, 0 failed, 0 outstanding" in result.lines
    )
    assert sorted(path.name for path in suite.path.parent.iterdir()) == [
        "shard-3-audit.log",
        "shard-3.json",
        "shard-3.json.lock",
    ]
    assert suite.books == {"::test_good": "passed"}


@pytest.mark.parametrize(("how", "conftest"), [(ALONE, "os.chdir('elsewhere')\n"), (XDIST, "")])
def test_path_is_relative_to_where_pytest_was_started(suite: Suite, how: str, conftest: str) -> None:
    """A relative path means the folder in which pytest was started, whatever conftest and tests change to."""
    suite.write(
        {
            "elsewhere/here.txt": "",
            "conftest.py": conftest,
            "test_it.py": "@component\ndef test(): os.chdir('/')\n",
        }
    )
    result = suite.run("--migration-state=state.json", how=how, recorded=False)
    assert result.status == 0
    assert in_short(MigrationTracker(suite.folder / "state.json").read().to_object()) == {"::test": "passed"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param("", "it is empty", id="empty"),
        pytest.param("[]", "it is not a migration state", id="a list"),
        pytest.param("garbage", "it is not a migration state", id="no JSON"),
        pytest.param(
            '{"phase": "Validation", "metadata": {"version": "9.0"}}',
            "it was written in version 9.0 of the format",
            id="newer",
        ),
        pytest.param('{"phase": "Halfway"}', "'phase' is 'Halfway'", id="an unknown phase"),
    ],
)
def test_unusable_state_is_a_usage_error(suite: Suite, content: str, says: str) -> None:
    """An unusable state is a usage error before any test, and is left unchanged."""
    suite.path.write_text(content, encoding="utf-8")
    suite.write(GOOD)
    result = suite.run()
    assert result.status == 4
    assert f"ERROR: --migration-state: {suite.path}: " in result.output
    assert says in result.output
    assert "passed" not in result.output
    assert suite.path.read_text(encoding="utf-8") == content
    assert not suite.tracker.audit_log_path.exists()


@BOTH
def test_folder_in_place_of_the_state_is_a_usage_error(suite: Suite, how: str) -> None:
    """A folder is not a state."""
    suite.path.unlink()
    suite.path.mkdir()
    suite.write(GOOD)
    result = suite.run(how=how)
    assert result.status == 4
    assert "this is a folder; name the state file in it, such as migration-state.json" in result.output


@pytest.mark.skipif(sys.platform == "win32", reason="modes do not keep a program from writing on Windows")
def test_unwritable_folder_is_a_usage_error(suite: Suite) -> None:
    """A folder without write permission is a usage error."""
    suite.write(
        {
            "conftest.py": """
                @pytest.hookimpl(wrapper=True, tryfirst=True)
                def pytest_sessionstart():
                    user = os.geteuid()
                    os.seteuid(user or 65534)
                    try:
                        yield
                    finally:
                        os.seteuid(user)
            """,
            "test_it.py": GOOD,
        }
    )
    suite.path = suite.folder / "locked" / "state.json"
    suite.path.parent.mkdir()
    suite.path.parent.chmod(0o555)
    result = suite.run()
    assert result.status == 4
    assert f"ERROR: --migration-state: {suite.folder}" in result.output
    assert "Permission denied" in result.output


def test_empty_path_is_a_usage_error(suite: Suite) -> None:
    """An empty path, as from an unset variable, does not mean the current folder."""
    suite.write(GOOD)
    result = suite.run("--migration-state=", recorded=False)
    assert result.status == 4
    assert (
        "--migration-state: the path is empty; name the migration state, such as migration-state.json"
        in result.output
    )


@pytest.mark.parametrize(
    "option",
    [
        "--collect-only",
        "--fixtures",
        "--fixtures-per-test",
        "--markers",
        "--setup-plan",
        "--setup-only",
        "--cache-show",
        "--help",
        "--version",
        "-n2 --collect-only",
    ],
)
def test_options_that_run_no_test_write_nothing(suite: Suite, option: str) -> None:
    """Options under which pytest runs no test write nothing."""
    suite.write("@component\ndef test(migration_state): pass\n")
    before = folder_content(suite.folder)
    result = suite.run(*option.split())
    assert result.status == 0
    assert folder_content(suite.folder) == before
    if option.endswith("--collect-only"):
        assert f"migration state: {suite.path}: nothing is recorded under --collect-only" in result.lines


# --- --migration-complete -----------------------------------------------------------------------------------


@BOTH
def test_migration_completes_once_every_test_passes(suite: Suite, how: str) -> None:
    """A failing test keeps the phase at Validation. Fixed and run again, the migration is completed."""
    suite.write(GOOD + BAD)
    result = suite.run("--migration-complete", how=how)
    assert result.status == 1
    assert suite.tracker.state.phase == "Validation"
    assert "gate: shut, 1 blocker; phase Validation" in result.lines
    blocker = result.lines.index("  failed: 'test_it.py::test_bad' of 'guardian-hive' failed: assert 0")
    assert result.lines[blocker + 1].startswith("    -> fix it, then run: ")
    assert "not completed: the gate is shut" in result.lines
    assert "GateBlocked" in {entry["action"] for entry in suite.log()}

    suite.write(GOOD + BAD.replace("assert 0", "pass"))
    result = suite.run("--migration-complete", how=how)
    assert result.status == 0
    assert suite.tracker.state.phase == "Completed"
    assert "completed: the migration is in phase Completed" in result.lines


def test_two_runs_leave_one_verdict(suite: Suite) -> None:
    """The document contains the newest verdict of a test, the log every one."""
    suite.write(BAD)
    suite.run()
    suite.write(BAD.replace("assert 0", "pass"))
    suite.run()
    assert suite.books == {"::test_bad": "passed"}
    details = [entry["details"] for entry in suite.log() if entry["action"] == "ValidationResult"]
    assert details == [
        f"Test 'test_it.py::test_bad' for 'guardian-hive': {outcome}" for outcome in ("FAILED", "PASSED")
    ]


@pytest.mark.parametrize("phase", ["NotStarted", "NativeDeployment", "RolledBack"])
def test_completing_in_another_phase_is_a_usage_error(suite: Suite, phase: str) -> None:
    """Before Validation, and after a rollback, it is a usage error."""
    suite.path.write_text(json.dumps({"phase": phase}), encoding="utf-8")
    suite.write(GOOD)
    result = suite.run("--migration-complete")
    assert result.status == 4
    assert (
        "rolled back"
        if phase == "RolledBack"
        else f"the migration is in phase {phase} and can be completed only from Validation"
    ) in result.output
    assert suite.tracker.state.phase == phase
    assert suite.log() == []


@BOTH
def test_completing_a_state_that_does_not_exist_is_a_usage_error(suite: Suite, how: str) -> None:
    """The path is wrong: the error says that there is no state, and no file is left there."""
    suite.path.unlink()
    suite.write(GOOD)
    before = sorted(path.name for path in suite.folder.iterdir())
    result = suite.run("--migration-complete", how=how)
    assert result.status == 4
    assert f"there was no migration state at {suite.path}, and none was created" in result.output
    assert sorted(path.name for path in suite.folder.iterdir() if "cache" not in path.name) == before


def test_file_that_is_no_state_is_a_usage_error(suite: Suite) -> None:
    """It is left as it is, and no file is made beside it."""
    suite.path.unlink()
    suite.path = suite.folder / "pytest.ini"
    suite.path.write_text("[pytest]\n", encoding="utf-8")
    suite.write(GOOD)
    result = suite.run()
    assert result.status == 4
    assert f"--migration-state: {suite.path}: it is not a migration state" in result.output
    assert sorted(path.name for path in suite.folder.iterdir() if "cache" not in path.name) == [
        "pytest.ini",
        "test_it.py",
    ]


@DEEP_ON_WORKERS
def test_clash_is_settled_only_by_a_run_of_both_tests(suite: Suite, how: str) -> None:
    """Alone, the second test does not clash with the first, and its pass says nothing about the first."""
    same = '@pytest.mark.migration_component("a", test_name="same")\n'
    first, second = f"{same}def test_one(): assert 0\n", f"{same}def test_two(): pass\n"
    suite.write(first + second)
    refused = suite.run(how=how)
    assert refused.status == 2
    both = "test_it.py::test_one and test_it.py::test_two"
    assert suite.books == {"a: same": "pending", both: "collection_error"}
    command = f"pytest --migration-state={suite.path} test_it.py::test_one test_it.py::test_two"
    assert any(command in line for line in refused.lines)
    suite.run("test_it.py::test_two", how=how)
    assert suite.books == {"a: same": "passed", both: "collection_error"}
    assert not suite.can_be_completed()
    suite.write(first.replace('same"', 'one"').replace("assert 0", "pass") + second)
    suite.run(how=how)
    assert suite.books == {"a: one": "passed", "a: same": "passed"}
    assert suite.can_be_completed()


def test_folder_that_is_called_like_the_marker_is_no_marker(suite: Suite) -> None:
    """Its tests are not marked, and the hook is not called where nothing is recorded."""
    hook = "def pytest_migration_component(item): return ['']"
    suite.write({"conftest.py": hook, "migration_component/test_it.py": "def test(): pass"})
    assert suite.run(recorded=False).status == 0


def test_marker_that_is_added_late_is_checked(suite: Suite) -> None:
    """A conftest adds it when everything else is collected."""
    conftest = """
        @pytest.hookimpl(trylast=True)
        def pytest_collection_modifyitems(items): items[0].add_marker(pytest.mark.migration_component)
    """
    suite.write({"conftest.py": conftest, "test_it.py": "def test(): pass"})
    result = suite.run(recorded=False)
    assert result.status == 2
    assert "the marker migration_component names no component" in result.output


def test_verdict_of_the_api_shuts_the_gate_of_the_summary(suite: Suite) -> None:
    """The summary judges the state as it is at the end of the run."""
    suite.write(GOOD)
    assert suite.run("--migration-complete").status == 0
    suite.write(
        GOOD + "def test_more(migration_state): migration_state.add_validation_result('z', 't', False)"
    )
    result = suite.run()
    assert "gate: shut, 1 blocker; phase Completed" in result.lines


WRONG_MARKERS = """
    @pytest.mark.migration_component()
    def test_no_name(): pass
    @pytest.mark.migration_component("a", testname="x")
    def test_misspelt(): pass
    @component
    def test_right(): pass
    def test_unmarked(): pass
"""


def test_wrong_marker_is_an_error_where_nothing_is_recorded(suite: Suite) -> None:
    """A component team runs its tests without a state first."""
    suite.write(WRONG_MARKERS)
    result = suite.run(recorded=False)
    assert result.status == 2
    assert "test_it.py::test_no_name: the marker migration_component names no component" in result.output
    assert "test_it.py::test_misspelt: the marker migration_component has no argument" in result.output
    assert "2 errors in " in result.output


def test_wrong_marker_is_an_error_on_workers_where_nothing_is_recorded(suite: Suite) -> None:
    """xdist runs the tests in spite of errors in the collection; the run fails."""
    suite.write(WRONG_MARKERS)
    result = suite.run(how=XDIST, recorded=False)
    assert result.status == 1
    assert "4 passed, 2 errors in " in result.output


@pytest.mark.parametrize(
    "options",
    [
        ("-n1",),
        pytest.param(("-n2", "--dist=each"), marks=pytest.mark.deep),
        pytest.param(("-n2", "--dist=loadfile"), marks=pytest.mark.deep),
    ],
)
def test_wrong_marker_ends_a_recorded_run_before_its_first_test(
    suite: Suite, options: tuple[str, ...]
) -> None:
    """Also on workers, where xdist would run the tests."""
    suite.write(WRONG_MARKERS)
    result = suite.run(*options)
    assert result.status == 2
    assert "Interrupted: 2 errors during collection" in result.output
    assert "passed" not in result.lines[-1]


def test_tests_run_beside_a_wrong_marker_if_that_is_asked_for(suite: Suite) -> None:
    """The wrong marker keeps the gate shut."""
    suite.write(WRONG_MARKERS)
    result = suite.run("--continue-on-collection-errors", how=XDIST)
    assert result.status == 1
    assert suite.books["::test_right"] == "passed"
    assert not suite.tracker.gate().open


def test_rolled_back_migration_is_not_validated(suite: Suite) -> None:
    """A migration that is rolled back is no longer validated."""
    suite.path.write_text('{"phase": "RolledBack"}', encoding="utf-8")
    suite.write(GOOD)
    result = suite.run()
    assert result.status == 4
    words = "the migration is rolled back, which is final; begin again: migration-state init --force -s "
    assert f"ERROR: --migration-state: {suite.path}: {words}" in result.output
    assert (suite.books, suite.log()) == ({}, [])


@pytest.mark.parametrize(
    ("files", "args", "says"),
    [
        pytest.param(
            GOOD + "def test_other(): pytest.exit('', returncode=7)",
            "",
            "not completed: the run ended with exit status 7",
            id="exit 7",
        ),
        pytest.param(
            GOOD + "def test_other(): raise KeyboardInterrupt",
            "",
            "not completed: the run ended with exit status 2",
            id="interrupted",
        ),
        pytest.param(
            GOOD, "-k nothing", "not completed: the run ended with exit status 5", id="nothing selected"
        ),
        pytest.param("def test(): pass", "", "not completed: the gate is shut", id="nothing recorded"),
        pytest.param(
            {"test_it.py": GOOD, "conftest.py": "def pytest_sessionfinish(): raise OSError"},
            "",
            "not completed: ",
            id="a broken end",
        ),
    ],
)
def test_unfinished_run_completes_nothing(
    suite: Suite, files: str | dict[str, str], args: str, says: str
) -> None:
    """An unfinished run completes nothing, although every recorded verdict is passed."""
    suite.write({"test_before.py": GOOD})
    assert suite.run("test_before.py").status == 0
    suite.write(files)
    if says.endswith("gate is shut"):
        suite.tracker.forget_validation("guardian-hive", "test_before.py::test_good", "another suite")
    result = suite.run("test_it.py", "--migration-complete", *args.split())
    assert result.status != 0
    assert says in result.output
    assert suite.tracker.state.phase == "Validation"


@pytest.mark.parametrize(
    "option", ["--migration-complete", "--migration-require=a", "--migration-allow=skipped"]
)
def test_options_without_a_state_are_refused(suite: Suite, option: str) -> None:
    """An option that guards a recorded run is refused if nothing is recorded."""
    suite.write(GOOD)
    result = suite.run(option, recorded=False)
    assert result.status == 4
    assert (
        f"ERROR: {option.partition('=')[0]} does nothing without --migration-state=PATH: name "
        "the migration state" in result.output
    )


# --- the policy ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("from_ini", [False, True])
def test_missing_required_component_keeps_the_gate_shut(suite: Suite, from_ini: bool) -> None:
    """A required component without a verdict keeps the gate shut."""
    suite.write(GOOD)
    if from_ini:
        suite.write({"pytest.ini": "[pytest]\nmigration_require = agent-zero guardian-hive\n"})
    options = [] if from_ini else ["--migration-require=agent-zero", "--migration-require=guardian-hive"]
    result = suite.run("--migration-complete", *options)
    assert result.status == 1
    (index,) = [
        number for number, line in enumerate(result.lines) if line.startswith("  missing_component: ")
    ]
    again = f"run its marked tests: pytest --migration-state={suite.path}"
    assert result.lines[index : index + 2] == [
        "  missing_component: the required component 'agent-zero' has no verdict",
        f"    -> {again}",
    ]


ALLOWED = f"""
{GOOD}
@component
@pytest.mark.skip
def test_skipped(): pass
@component
@pytest.mark.xfail
def test_known(): assert 0
@component
def test_deselected(): pass
"""


@pytest.mark.parametrize("from_ini", [False, True])
def test_allowed_reasons_open_the_gate(suite: Suite, from_ini: bool) -> None:
    """Skipped, deselected and xfailed validations keep the gate shut unless they are allowed."""
    suite.write(ALLOWED)
    selection = ["--deselect=test_it.py::test_deselected", "--migration-complete"]
    assert suite.run(*selection).status == 1
    assert suite.tracker.state.phase == "Validation"
    if from_ini:
        suite.write({"pytest.ini": "[pytest]\nmigration_allow = skipped\n    deselected\n"})
    options = (
        ["--migration-allow=xfailed"]
        if from_ini
        else [f"--migration-allow={reason}" for reason in ("skipped", "deselected", "xfailed")]
    )
    assert suite.run(*selection, *options).status == 0
    assert suite.tracker.state.phase == "Completed"


@pytest.mark.parametrize("from_ini", [False, True])
def test_reason_that_cannot_be_allowed_is_a_usage_error(suite: Suite, from_ini: bool) -> None:
    """A reason that cannot be allowed is a usage error that names those that can."""
    suite.write(GOOD)
    if from_ini:
        suite.write({"pytest.ini": "[pytest]\nmigration_allow = failed\n"})
    result = suite.run(*([] if from_ini else ["--migration-allow=failed"]))
    assert result.status == 4
    assert (
        "allow 'failed' cannot be used: it must be one of skipped, deselected, xfailed, stale"
        in result.output
    )
    assert json.loads(suite.path.read_text(encoding="utf-8")) == {"phase": "Validation"}


# --- the marker and the hook --------------------------------------------------------------------------------


INVALID_MARKERS = {
    "migration_component": 'names no component; write @pytest.mark.migration_component("name")',
    "migration_component()": "names no component",
    "migration_component(7)": "names 7 as a component; a name is text and not empty",
    "migration_component('a', None)": "names None as a component",
    "migration_component(' ')": "names ' ' as a component",
    "migration_component('a', name='x')": "has no argument 'name'",
    "migration_component('a', test_name='')": "has test_name=''; a name is text and not empty",
    "migration_component('a', test_name=3)": "has test_name=3",
}


def test_invalid_marker_is_a_collection_error(suite: Suite) -> None:
    """An invalid marker is a collection error that names the test, and no test runs."""
    names = {f"test_{number}.py": marker for number, marker in enumerate(INVALID_MARKERS)}
    suite.write(GOOD)
    suite.write({name: f"@pytest.mark.{marker}\ndef test(): pass" for name, marker in names.items()})
    result = suite.run()
    assert result.status == 2
    for name, marker in names.items():
        says = INVALID_MARKERS[marker]
        assert f"{name}::test: the marker migration_component {says}" in result.output
    errors = {f"{name}::test": "collection_error" for name in names}
    assert suite.books == {"::test_good": "pending", **errors}
    assert not suite.can_be_completed()


def test_fixed_marker_is_settled_by_running_its_test(suite: Suite) -> None:
    """Running other tests of the file settles nothing; running the test whose marker was fixed does."""
    suite.write(f"@pytest.mark.migration_component\ndef test_marked(): pass\n{GOOD}")
    suite.run()
    assert suite.run("test_it.py::test_good").status == 0
    assert suite.books == {"::test_good": "passed", "test_it.py::test_marked": "collection_error"}
    assert not suite.can_be_completed()
    suite.write(f"@component\ndef test_marked(): pass\n{GOOD}")
    assert suite.run("test_it.py::test_marked").status == 0
    assert suite.books == {"::test_good": "passed", "::test_marked": "passed"}
    assert suite.can_be_completed()


def test_invalid_marker_on_workers_is_recorded(suite: Suite) -> None:
    """No test runs, as without xdist, and the error is recorded."""
    suite.write(f"@pytest.mark.migration_component\ndef test_marked(): pass\n{GOOD}")
    result = suite.run(how=XDIST)
    assert result.status == 2
    assert "test_it.py::test_marked: the marker migration_component names no component" in result.output
    assert suite.books == {"::test_good": "pending", "test_it.py::test_marked": "collection_error"}
    assert not suite.can_be_completed()


@BOTH
def test_two_tests_with_one_validation_are_a_collection_error(suite: Suite, how: str) -> None:
    """Two tests with the same validation are a collection error that names both."""
    suite.write(
        """
        same = pytest.mark.migration_component("guardian-hive", test_name="native_execution_test")
        @same
        def test_a(): assert 0
        @same
        def test_b(): pass
        """
    )
    result = suite.run(how=how)
    assert result.status == 2
    words = (
        "test_it.py::test_b: the validation 'native_execution_test' of 'guardian-hive' is that of "
        "test_it.py::test_a too; give one another"
    )
    assert words in result.output
    assert suite.books == {
        "native_execution_test": "pending",
        "test_it.py::test_a and test_it.py::test_b": "collection_error",
    }
    assert not suite.can_be_completed()


@DEEP_ON_WORKERS
def test_two_items_with_one_name_are_two_tests(suite: Suite, how: str) -> None:
    """Two items of another plugin with one node id are two tests, distinguished by their position."""
    suite.write(
        {
            "conftest.py": """
                class Check(pytest.Item):
                    def runtest(self): assert self.own_markers[0].args != ("agent-zero",)
                    def reportinfo(self): return self.path, 0, self.name

                class Checks(pytest.File):
                    def collect(self):
                        for name in ("agent-zero", "guardian-hive"):
                            check = Check.from_parent(self, name="check")
                            check.add_marker(pytest.mark.migration_component(name))
                            yield check

                def pytest_collect_file(file_path, parent):
                    if file_path.suffix == ".yaml":
                        return Checks.from_parent(parent, path=file_path)
            """,
            "checks.yaml": "",
        }
    )
    result = suite.run(how=how)
    assert result.status == 1
    assert suite.books == {"checks.yaml::check (2)": "passed", "agent-zero: checks.yaml::check": "failed"}


@DEEP_ON_WORKERS
def test_each_component_of_a_test_has_a_verdict(suite: Suite, how: str) -> None:
    """A test has one verdict for each component that it names."""
    suite.write('@pytest.mark.migration_component("a", "b", "a", test_name="start")\ndef test(): assert 0\n')
    assert suite.run(how=how).status == 1
    assert suite.books == {"a: start": "failed", "b: start": "failed"}
    # The command in the gate's message names the test, not the validation.
    assert f"pytest --migration-state={suite.path} test_it.py::test" in suite.tracker.gate().blockers[0].fix


def test_closest_marker_counts(suite: Suite) -> None:
    """Of module, class and function, the function's marker takes precedence, then the class's."""
    suite.write(
        """
        pytestmark = pytest.mark.migration_component("of-module")
        @pytest.mark.migration_component("of-class")
        class TestIt:
            @pytest.mark.migration_component("of-function")
            def test_function(self): pass
            def test_class(self): pass
        def test_module(): pass
        """
    )
    suite.run()
    assert sorted(result.component for result in suite.tracker.state.validation_results) == [
        "of-class",
        "of-function",
        "of-module",
    ]


@BOTH
def test_hook_names_components(suite: Suite, how: str) -> None:
    """The hook names components of unmarked tests. A marker takes precedence, and the first answer counts."""
    suite.write(
        {
            "conftest.py": """
                def pytest_migration_component(item):
                    names = {"test_one": "one", "test_two": ["two", "three"], "test_good": "never"}
                    return names.get(item.name)
            """,
            "test_it.py": f"def test_one(): pass\ndef test_two(): pass\ndef test_none(): pass\n{GOOD}",
        }
    )
    assert suite.run(how=how).status == 0
    assert suite.books == {
        "one: test_it.py::test_one": "passed",
        "two: test_it.py::test_two": "passed",
        "three: test_it.py::test_two": "passed",
        "::test_good": "passed",
    }


def test_invalid_answer_of_the_hook_is_a_collection_error(suite: Suite) -> None:
    """An answer that is not a name is a collection error."""
    answers = {"test_number": 7, "test_list": ["a", 7], "test_empty": ""}
    suite.write(
        {
            "conftest.py": f"def pytest_migration_component(item): return {answers}[item.name]",
            "test_it.py": "".join(f"def {name}(): pass\n" for name in answers),
        }
    )
    result = suite.run()
    assert result.status == 2
    for name in answers:
        assert f"test_it.py::{name}: the hook pytest_migration_component names " in result.output
    assert suite.books == {f"test_it.py::{name}": "collection_error" for name in answers}


def test_hook_is_valid_without_the_option(suite: Suite) -> None:
    """An unrecorded run accepts a conftest with the hook, and markers under --strict-markers."""
    suite.write({"conftest.py": "def pytest_migration_component(item): return 7", "test_it.py": GOOD})
    assert suite.run("--strict-markers", recorded=False).status == 0
    assert json.loads(suite.path.read_text(encoding="utf-8")) == {"phase": "Validation"}


# --- the fixture --------------------------------------------------------------------------------------------


@DEEP_ON_WORKERS
def test_fixture_without_the_option_skips_the_test(suite: Suite, how: str) -> None:
    """A test that requests the state is skipped if none is recorded."""
    suite.write("@component\ndef test(migration_state): assert 0\n")
    result = suite.run("-rs", how=how, recorded=False)
    assert result.status == 0
    assert "no migration is recorded: run with --migration-state=PATH" in result.output


@BOTH
def test_fixture_is_the_tracker_of_the_run(suite: Suite, how: str) -> None:
    """The fixture is the run's tracker, also on workers."""
    suite.write(
        "@component\ndef test(migration_state):\n"
        "    assert migration_state.state.phase == 'Validation'\n"
        "    migration_state.set_error('seen')\n"
    )
    assert suite.run(how=how).status == 0
    assert suite.tracker.state.error is not None
    assert {entry["run_id"] for entry in suite.log() if entry["action"] == "Error"} == {
        suite.log()[0]["run_id"]
    }


def test_workers_load_no_store(suite: Suite) -> None:
    """Only the controller records.

    A worker does not load the store or its dependencies until a test requests the state.
    """
    suite.write(
        """
        def heavy():
            names = {"pydantic_core", "filelock", "pytest_migration_state.storage.files.store"}
            return names & sys.modules.keys()
        @component
        def test_little(): assert not heavy()
        @component
        def test_more(migration_state):
            assert migration_state.state.phase == "Validation"
            assert len(heavy()) == 3
        """
    )
    result = suite.run("--dist=loadfile", how=XDIST)
    assert result.status == 0, result.output
    assert suite.books == {"::test_little": "passed", "::test_more": "passed"}


LISTENERS = """
    def note(who, report):
        if "PYTEST_XDIST_WORKER" in os.environ:
            with open("seen.txt", "a") as seen:
                seen.write(f"{who}: {report.nodeid} {report.when}\\n")

    class Listener:
        def pytest_runtest_logreport(self, report): note("before xdist", report)

    def pytest_configure(config): config.pluginmanager.register(Listener())
    def pytest_runtest_logreport(report): note("behind xdist", report)
"""


def test_listeners_on_workers_receive_each_report_once(suite: Suite) -> None:
    """A report that cannot be serialized is sent again in another form.

    Other listeners on the worker receive it once, like any other report.
    """
    suite.write(
        {
            "conftest.py": LISTENERS,
            "test_it.py": (
                "@component\ndef test(request): request.node.user_properties.append(('p', object()))"
            ),
        }
    )
    assert suite.run(how=XDIST).status == 0
    assert suite.books == {"::test": "passed"}
    seen = (suite.folder / "seen.txt").read_text(encoding="utf-8").splitlines()
    phases = ("setup", "call", "teardown")
    assert sorted(seen) == sorted(
        f"{who}: test_it.py::test {phase}" for who in ("before xdist", "behind xdist") for phase in phases
    )


@pytest.mark.parametrize("attached", [pytest.param("1", marks=pytest.mark.deep), "object()"])
def test_error_of_a_listener_on_a_worker_is_reported(suite: Suite, attached: str) -> None:
    """An error in another hook is not mistaken for a failed serialization: pytest reports it."""
    suite.write(
        {
            "conftest.py": """
                def pytest_runtest_logreport(report):
                    if "PYTEST_XDIST_WORKER" in os.environ: raise RuntimeError("the listener's own")
            """,
            "test_it.py": (
                f"@component\ndef test(request): request.node.user_properties.append(('p', {attached}))"
            ),
        }
    )
    result = suite.run(how=XDIST)
    assert result.status != 0
    assert "RuntimeError: the listener's own" in result.output
    assert suite.books == {"::test": "pending"}


UNSENDABLE = "@component\ndef test(request): request.node.user_properties.append(('p', object())); assert 0"


@pytest.mark.parametrize(
    "swallowing",
    [
        pytest.param(
            "@pytest.hookimpl(wrapper=True)\ndef pytest_runtest_logreport():\n"
            "    try: return (yield)\n    except Exception: return None",
            id="new style",
        ),
        pytest.param(
            "@pytest.hookimpl(hookwrapper=True)\ndef pytest_runtest_logreport():\n"
            "    outcome = yield\n    outcome.force_result(None)",
            id="old style",
            marks=pytest.mark.deep,
        ),
    ],
)
def test_listener_that_swallows_errors_loses_no_verdict(suite: Suite, swallowing: str) -> None:
    """A report that cannot be serialized is sent whatever wraps the hook.

    An error there does not lose the verdict.
    """
    suite.write({"conftest.py": swallowing, "test_it.py": UNSENDABLE})
    assert suite.run(how=XDIST).status == 1
    assert suite.books == {"::test": "failed"}


@pytest.mark.parametrize(
    "hook", ["pytest_runtest_logreport", pytest.param("pytest_collectreport", marks=pytest.mark.deep)]
)
def test_error_of_a_listener_before_xdist_is_reported(suite: Suite, hook: str) -> None:
    """An error in a hook that is called before the report is sent is reported.

    This holds even if the report itself could not have been serialized.
    """
    suite.write(
        {
            "conftest.py": f"""
                class Listener:
                    def {hook}(self, report):
                        if "test_it" in report.nodeid and report.when in ("call", "collect"):
                            report.thing = object()
                            raise RuntimeError("the listener's own")
                def pytest_configure(config):
                    if hasattr(config, "workerinput"): config.pluginmanager.register(Listener())
            """,
            "test_it.py": "@component\ndef test(): pass",
        }
    )
    result = suite.run(how=XDIST)
    assert result.status != 0
    assert "RuntimeError: the listener's own" in result.output


def test_listeners_of_other_folders_receive_nothing(suite: Suite) -> None:
    """A conftest receives only the reports of its own folder, including one that cannot be serialized."""
    # On the controller, which does not distinguish folders here, each conftest receives every report.
    listener = """
        if "PYTEST_XDIST_WORKER" in os.environ:
            def pytest_runtest_logreport(report): open(__file__ + ".seen", "a").write(report.nodeid + "\\n")
    """
    suite.write(
        {
            "a/test_a.py": UNSENDABLE,
            "b/conftest.py": listener,
            "b/test_b.py": "@component\ndef test_b(): pass",
        }
    )
    assert suite.run("a", "b", "-n1").status == 1
    assert set((suite.folder / "b" / "conftest.py.seen").read_text(encoding="utf-8").split()) == {
        "b/test_b.py::test_b"
    }


def test_reports_are_serializable_for_an_unknown_xdist(pytester: pytest.Pytester) -> None:
    """If xdist's plugin sends in an unknown way, every report is made serializable before."""
    config = pytester.parseconfigure("-p", "no:terminal")
    sanitize_unsendable_reports(config.pluginmanager)
    report = pytest.TestReport(
        "test_it.py::test",
        ("test_it.py", 0, "test"),
        {},
        "passed",
        None,
        "call",
        user_properties=[("p", {1})],
    )
    assert config.hook.pytest_report_to_serializable(config=config, report=report)["user_properties"] == [
        ("p", [1])
    ]


# --- without the option -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "more"),
    [
        pytest.param("def test(): pass", set(), id="unmarked"),
        # The markers are checked.
        pytest.param(GOOD, {"text", "recording", "recording.marker"}, id="marked"),
    ],
)
def test_inactive_plugin_loads_nothing(suite: Suite, content: str, more: set[str]) -> None:
    """An unrecorded run loads neither pydantic nor filelock nor the plugin's own engine."""
    expected = {"", "plugin", "hookspecs", "domain", "domain.policy"} | more
    suite.write(
        {
            "test_it.py": content,
            "inactive.py": f"""
                status = pytest.main(["-p", "pytest_migration_state.plugin", "test_it.py"])
                ours = [name for name in sys.modules if name.startswith("pytest_migration_state")]
                loaded = {{name.partition(".")[2] for name in ours}}
                assert status == 0
                assert loaded == {expected}, loaded
                assert not {{"pydantic", "pydantic_core", "filelock"}} & sys.modules.keys()
            """,
        }
    )
    before = folder_content(suite.folder)
    result = suite.run_python("inactive.py")
    assert result.status == 0, result.output
    assert folder_content(suite.folder) == before


def test_help_describes_options_and_markers(suite: Suite) -> None:
    """--help and --markers describe every option and marker."""
    output = suite.run("--help", recorded=False).output
    for name in (
        "--migration-state=PATH",
        "--migration-complete",
        "--migration-require=NAME",
        "--migration-allow=REASON",
        "migration_require (args)",
    ):
        assert name in output
    assert (
        "@pytest.mark.migration_component(*names, test_name=None): "
        in suite.run("--markers", recorded=False).output
    )


def test_path_with_a_space_is_quoted_in_commands(suite: Suite) -> None:
    """The commands in the gate's messages can be copied into a shell unchanged."""
    suite.path = suite.folder / "two words" / "state.json"
    suite.write(BAD)
    output = suite.run().output
    assert f"run: pytest --migration-state='{suite.path}' test_it.py::test_bad" in output
    assert os.fspath(suite.path) in output
