"""Each option, ini value, marker and fixture of the plugin, and what it says of those that cannot be used."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import pytest
from recorded import ALONE, XDIST, in_short

from pytest_migration_state import MigrationTracker
from pytest_migration_state.recording.sanitize import sanitize_unsendable_reports

if TYPE_CHECKING:
    from pathlib import Path

    from recorded import Suite

GOOD = "@component\ndef test_good(): pass\n"
BAD = "@component\ndef test_bad(): assert 0\n"
BOTH = pytest.mark.parametrize("how", [ALONE, XDIST])


def folder_content(folder: Path) -> dict[str, bytes]:
    """Every file but those of pytest itself and of Python."""
    return {
        path.name: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and ".pytest_cache" not in path.parts
    }


# --- --migration-state --------------------------------------------------------------------------------------


def test_created(suite: Suite) -> None:
    """A state that is missing is created, with its folder, and the summary says so."""
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
def test_relative_to_where_pytest_was_started(suite: Suite, how: str, conftest: str) -> None:
    """A relative path means the folder in which pytest was started, wherever conftest and tests go."""
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
def test_state_that_cannot_be_used(suite: Suite, content: str, says: str) -> None:
    """A state that cannot be used is a usage error before any test, and is left as it is."""
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
def test_folder_in_its_place(suite: Suite, how: str) -> None:
    """A folder is no state."""
    suite.path.unlink()
    suite.path.mkdir()
    suite.write(GOOD)
    result = suite.run(how=how)
    assert result.status == 4
    assert "this is a folder; name the state file in it, such as migration-state.json" in result.output


@pytest.mark.skipif(sys.platform == "win32", reason="modes do not keep a program from writing on Windows")
def test_folder_that_may_not_be_written(suite: Suite) -> None:
    """A folder in which nothing can be written is a usage error."""
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


def test_empty_path(suite: Suite) -> None:
    """An empty path, as from a variable that is not set, is not the current folder."""
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
def test_nothing_is_run(suite: Suite, option: str) -> None:
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
def test_complete(suite: Suite, how: str) -> None:
    """A failing test keeps the phase at Validation; fixed and run again, the migration completes."""
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
    """The document holds the newest verdict of a test, the log every one."""
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
def test_complete_in_a_phase_that_cannot(suite: Suite, phase: str) -> None:
    """Before Validation, and once the migration is rolled back, it is a usage error."""
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


def test_rolled_back(suite: Suite) -> None:
    """A migration that is rolled back is not validated any more."""
    suite.path.write_text('{"phase": "RolledBack"}', encoding="utf-8")
    suite.write(GOOD)
    result = suite.run()
    assert result.status == 4
    words = (
        "the migration is rolled back, which is final; begin a new one with 'migration-state init --force'"
    )
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
def test_not_completed(suite: Suite, files: str | dict[str, str], args: str, says: str) -> None:
    """A run that did not come to its end completes nothing, although every verdict on record is passed."""
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
def test_options_in_vain(suite: Suite, option: str) -> None:
    """An option that guards a recorded run is refused where nothing is recorded."""
    suite.write(GOOD)
    result = suite.run(option, recorded=False)
    assert result.status == 4
    assert (
        f"ERROR: {option.partition('=')[0]} does nothing without --migration-state=PATH: name the migration state"
        in result.output
    )


# --- the policy ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("from_ini", [False, True])
def test_require(suite: Suite, from_ini: bool) -> None:
    """A component that is required and has no verdict keeps the gate shut."""
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
def test_allow(suite: Suite, from_ini: bool) -> None:
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
def test_allow_what_cannot_be(suite: Suite, from_ini: bool) -> None:
    """A reason that cannot be allowed is a usage error that names those that can."""
    suite.write(GOOD)
    if from_ini:
        suite.write({"pytest.ini": "[pytest]\nmigration_allow = failed\n"})
    result = suite.run(*([] if from_ini else ["--migration-allow=failed"]))
    assert result.status == 4
    assert "allow 'failed' cannot be used: it must be one of skipped, deselected, xfailed" in result.output
    assert json.loads(suite.path.read_text(encoding="utf-8")) == {"phase": "Validation"}


# --- the marker and the hook --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("marker", "says"),
    [
        pytest.param(
            "migration_component",
            'names no component; write @pytest.mark.migration_component("name")',
            id="no name",
        ),
        pytest.param("migration_component()", "names no component", id="empty"),
        pytest.param(
            "migration_component(7)", "names 7 as a component; a name is text and not empty", id="a number"
        ),
        pytest.param("migration_component('a', None)", "names None as a component", id="None"),
        pytest.param("migration_component(' ')", "names ' ' as a component", id="blank"),
        pytest.param("migration_component('a', name='x')", "has no argument 'name'", id="an unknown keyword"),
        pytest.param(
            "migration_component('a', test_name='')",
            "has test_name=''; a name is text and not empty",
            id="an empty test_name",
        ),
        pytest.param(
            "migration_component('a', test_name=3)", "has test_name=3", id="a test_name that is a number"
        ),
    ],
)
def test_marker_that_cannot_be_used(suite: Suite, marker: str, says: str) -> None:
    """It is a collection error that names the test, and no test runs."""
    suite.write(f"@pytest.mark.{marker}\ndef test_marked(): pass\n{GOOD}")
    result = suite.run()
    assert result.status == 2
    assert f"test_it.py::test_marked: the marker migration_component {says}" in result.output
    assert suite.books == {"::test_good": "pending", "test_it.py::test_marked": "collection_error"}
    assert not suite.can_be_completed()


def test_marker_that_was_mended(suite: Suite) -> None:
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


def test_marker_that_cannot_be_used_on_workers(suite: Suite) -> None:
    """Under xdist pytest goes on, and the error is recorded."""
    suite.write(f"@pytest.mark.migration_component\ndef test_marked(): pass\n{GOOD}")
    result = suite.run(how=XDIST)
    assert result.status == 1
    assert "test_it.py::test_marked: the marker migration_component names no component" in result.output
    assert suite.books == {"::test_good": "passed", "test_it.py::test_marked": "collection_error"}
    assert not suite.can_be_completed()


@BOTH
def test_two_tests_with_one_validation(suite: Suite, how: str) -> None:
    """Two tests that would give one verdict are a collection error that names both."""
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
    assert result.status == (2 if how == ALONE else 1)
    words = "test_it.py::test_b: the validation 'native_execution_test' of 'guardian-hive' is that of test_it.py::test_a too; give one another"
    assert words in result.output
    # The second is not recorded, whatever comes of it.
    first = "pending" if how == ALONE else "failed"
    assert suite.books == {"native_execution_test": first, "test_it.py::test_b": "collection_error"}
    assert not suite.can_be_completed()


@BOTH
def test_two_items_with_one_name(suite: Suite, how: str) -> None:
    """Two items of another plugin that have one node id are two tests, distinguished by their place."""
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


@BOTH
def test_several_components(suite: Suite, how: str) -> None:
    """A test has one verdict for each component that it names."""
    suite.write('@pytest.mark.migration_component("a", "b", "a", test_name="start")\ndef test(): assert 0\n')
    assert suite.run(how=how).status == 1
    assert suite.books == {"a: start": "failed", "b: start": "failed"}
    # The command in the gate's message names the test, not the validation.
    assert f"pytest --migration-state={suite.path} test_it.py::test" in suite.tracker.gate().blockers[0].fix


def test_closest_marker_counts(suite: Suite) -> None:
    """Of module, class and function the function's marker counts, then the class's."""
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
def test_hook(suite: Suite, how: str) -> None:
    """The hook names components of unmarked tests; a marker goes before it, and the first answer counts."""
    suite.write(
        {
            "conftest.py": """
                def pytest_migration_component(item):
                    return {"test_one": "one", "test_two": ["two", "three"], "test_good": "never"}.get(item.name)
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


@pytest.mark.parametrize("answer", ["7", "['a', 7]", "''"])
def test_hook_that_answers_wrongly(suite: Suite, answer: str) -> None:
    """An answer that is no name is a collection error."""
    suite.write(
        {
            "conftest.py": f"def pytest_migration_component(item): return {answer}",
            "test_it.py": "def test(): pass\n",
        }
    )
    result = suite.run()
    assert result.status == 2
    assert "test_it.py::test: the hook pytest_migration_component names " in result.output
    assert suite.books == {"test_it.py::test": "collection_error"}


def test_hook_is_valid_without_the_option(suite: Suite) -> None:
    """A conftest that implements the hook, and markers under --strict-markers, are valid in a run that is not recorded."""
    suite.write({"conftest.py": "def pytest_migration_component(item): return 7", "test_it.py": GOOD})
    assert suite.run("--strict-markers", recorded=False).status == 0
    assert json.loads(suite.path.read_text(encoding="utf-8")) == {"phase": "Validation"}


# --- the fixture --------------------------------------------------------------------------------------------


@BOTH
def test_fixture_without_the_option(suite: Suite, how: str) -> None:
    """A test that asks for the state is skipped where none is recorded."""
    suite.write("@component\ndef test(migration_state): assert 0\n")
    result = suite.run("-rs", how=how, recorded=False)
    assert result.status == 0
    assert "no migration is recorded: run with --migration-state=PATH" in result.output


@BOTH
def test_fixture(suite: Suite, how: str) -> None:
    """The fixture is the tracker of the run, on workers too."""
    suite.write(
        "@component\ndef test(migration_state):\n    assert migration_state.state.phase == 'Validation'\n    migration_state.set_error('seen')\n"
    )
    assert suite.run(how=how).status == 0
    assert suite.tracker.state.error is not None
    assert {entry["run_id"] for entry in suite.log() if entry["action"] == "Error"} == {
        suite.log()[0]["run_id"]
    }


def test_workers_load_little(suite: Suite) -> None:
    """Only the controller records: a worker loads neither the store nor what it needs, until a test asks for the state."""
    suite.write(
        """
        def heavy(): return {"pydantic_core", "filelock", "pytest_migration_state.storage.files.store"} & sys.modules.keys()
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


def test_listeners_on_workers_hear_of_each_report_once(suite: Suite) -> None:
    """A report that cannot cross is sent again; other listeners on the worker receive it once, as any other."""
    suite.write(
        {
            "conftest.py": LISTENERS,
            "test_it.py": "@component\ndef test(request): request.node.user_properties.append(('p', object()))",
        }
    )
    assert suite.run(how=XDIST).status == 0
    assert suite.books == {"::test": "passed"}
    seen = (suite.folder / "seen.txt").read_text(encoding="utf-8").splitlines()
    phases = ("setup", "call", "teardown")
    assert sorted(seen) == sorted(
        f"{who}: test_it.py::test {phase}" for who in ("before xdist", "behind xdist") for phase in phases
    )


@pytest.mark.parametrize("attached", ["1", "object()"])
def test_error_of_a_listener_on_a_worker(suite: Suite, attached: str) -> None:
    """What is wrong with somebody's hook is not taken for a report that cannot cross: pytest says it."""
    suite.write(
        {
            "conftest.py": """
                def pytest_runtest_logreport(report):
                    if "PYTEST_XDIST_WORKER" in os.environ: raise RuntimeError("the listener's own")
            """,
            "test_it.py": f"@component\ndef test(request): request.node.user_properties.append(('p', {attached}))",
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
        "@pytest.hookimpl(wrapper=True)\ndef pytest_runtest_logreport():\n    try: return (yield)\n    except Exception: return None",
        "@pytest.hookimpl(hookwrapper=True)\ndef pytest_runtest_logreport():\n    outcome = yield\n    outcome.force_result(None)",
    ],
    ids=["new style", "old style"],
)
def test_listener_that_swallows_what_goes_wrong(suite: Suite, swallowing: str) -> None:
    """A report that cannot cross is sent whatever wraps the hook: an error there must not lose the verdict."""
    suite.write({"conftest.py": swallowing, "test_it.py": UNSENDABLE})
    assert suite.run(how=XDIST).status == 1
    assert suite.books == {"::test": "failed"}


@pytest.mark.parametrize("hook", ["pytest_runtest_logreport", "pytest_collectreport"])
def test_error_of_a_listener_before_xdist(suite: Suite, hook: str) -> None:
    """An error in a hook called before the report is sent is reported, although the report could not have crossed either."""
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


def test_listeners_of_other_folders_hear_nothing(suite: Suite) -> None:
    """A conftest receives the reports of its own folder only, also one that cannot cross."""
    # On the controller, which knows no folders here, each conftest receives every report.
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


def test_xdist_that_is_not_known(pytester: pytest.Pytester) -> None:
    """Where xdist's plugin does not send as it does now, every report is made fit to cross before."""
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


def test_inactive_plugin_loads_nothing(suite: Suite) -> None:
    """A run that is not recorded loads neither pydantic nor filelock nor the plugin's own engine."""
    suite.write(
        {
            "test_it.py": GOOD,
            "inactive.py": """
                status = pytest.main(["-p", "pytest_migration_state.plugin", "test_it.py"])
                loaded = {name.partition(".")[2] for name in sys.modules if name.startswith("pytest_migration_state")}
                assert status == 0
                assert loaded == {"", "plugin", "hookspecs", "domain", "domain.policy"}, loaded
                assert not {"pydantic", "pydantic_core", "filelock"} & sys.modules.keys()
            """,
        }
    )
    before = folder_content(suite.folder)
    result = suite.run_python("inactive.py")
    assert result.status == 0, result.output
    assert folder_content(suite.folder) == before


def test_help(suite: Suite) -> None:
    """--help and --markers say what there is."""
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


def test_path_with_a_space_in_the_commands(suite: Suite) -> None:
    """The commands in the gate's messages can be copied into a shell as they are."""
    suite.path = suite.folder / "two words" / "state.json"
    suite.write(BAD)
    output = suite.run().output
    assert f"run: pytest --migration-state='{suite.path}' test_it.py::test_bad" in output
    assert os.fspath(suite.path) in output
