"""No run leads to Completed with an unproved validation.

This holds whatever ends the run, selects its tests or changes its reports. The first part continues the table
in ``test_outcomes.py``. Cases that need several runs follow.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from outcome_table import (
    ATTEMPT,
    BAD_B,
    BOTH,
    BOTH_DEEP,
    FAILED,
    GOOD_A,
    GOOD_B,
    INTERRUPTED,
    OK,
    Case,
    Steps,
    both_ways,
    check,
    check_steps,
    not_on_windows,
    steps_table,
    table,
)
from recorded import ALONE, COMPONENT, XDIST, Suite

from pytest_migration_state import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.quick_cases(1)

#: xdist itself stops if the node id of a report differs from that of the assigned test.
XDIST_CANNOT = (ALONE,)

# --- which test a report is about ---------------------------------------------------------------------------

#: Logs a report of another node id while a test runs.
REPORTS_ELSEWHERE = """
def elsewhere(item, outcome, when="call"):
    return pytest.TestReport("elsewhere", ("x.py", 0, "x"), {}, outcome, "not as it should be", when)
@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    yield
    item.ihook.pytest_runtest_logreport(report=elsewhere(item, "failed"))
"""
RENAMES = """
@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    report.nodeid = report.nodeid + " (description)"
    return report
"""
#: Two folders with equal paths below them: pytest uses one node id for two of their tests.
TWINS = {
    "ci/pytest.ini": "[pytest]",
    "one/test_x.py": "@component\ndef test(): pass",
    "two/test_x.py": '@pytest.mark.migration_component("agent-zero")\ndef test(): assert 0',
}
ONE_NODE_ID = """
def pytest_itemcollected(item):
    item._nodeid = "test_it.py::test"
    try:
        from _pytest.nodeid import coerce_node_id
    except ImportError:
        return
    item._id = coerce_node_id("test_it.py::test")  # since pytest 9.2
"""

TIED = [
    Case(
        "a failed report of a node id that was not planned",
        {"conftest.py": REPORTS_ELSEWHERE, "test_it.py": GOOD_A},
        FAILED,
        {"::test_a": "failed"},
        how=XDIST_CANNOT,
    ),
    Case(
        "a failed report of no test at all",
        {
            "conftest.py": REPORTS_ELSEWHERE
            .replace("def pytest_runtest_call", "def unused")
            .replace("@pytest.hookimpl(wrapper=True)\n", "")
            + "def pytest_sessionfinish(session): "
            "session.config.hook.pytest_runtest_logreport(report=elsewhere(None, 'failed'))",
            "test_it.py": GOOD_A,
        },
        FAILED,
        {"::test_a": "passed"},
        how=XDIST_CANNOT,
        says=("problem: a report of 'elsewhere' that failed belongs to no test that was collected",),
    ),
    Case(
        "reports that are given other node ids",
        {"conftest.py": RENAMES, "test_it.py": f"{GOOD_A}\n{BAD_B}"},
        FAILED,
        {"::test_a": "passed", "::test_b": "failed"},
        how=XDIST_CANNOT,
    ),
    Case(
        "equal paths below two folders",
        TWINS,
        FAILED,
        {"../one/test_x.py::test": "passed", "agent-zero: ../two/test_x.py::test": "failed"},
        "-c ci/pytest.ini --import-mode=importlib one two",
    ),
    Case(
        "node ids that a conftest makes one",
        {"conftest.py": ONE_NODE_ID, "test_it.py": f"{GOOD_A}\n{BAD_B}\n@component\ndef test_c(): pass"},
        FAILED,
        {"::test_a": "passed", "::test_b": "failed", "::test_c": "passed"},
    ),
    Case(
        "node ids that a conftest makes one before we see them",
        {
            "conftest.py": ONE_NODE_ID.replace("def pytest", "@pytest.hookimpl(tryfirst=True)\ndef pytest"),
            "test_it.py": f"{GOOD_A}\n{BAD_B}\n@pytest.mark.migration_component('agent-zero')\n"
            "def test_c(): pass",
        },
        FAILED,
        {"::test": "passed", "::test (2)": "failed", "agent-zero: test_it.py::test (3)": "passed"},
    ),
    Case(
        "node ids that a conftest makes one, in the order of another plugin",
        {
            "conftest.py": ONE_NODE_ID + "def pytest_collection_modifyitems(items): items.reverse()",
            "test_it.py": f"{GOOD_A}\n{BAD_B}\n@component\ndef test_c(): pass",
        },
        FAILED,
        {"::test_a": "passed", "::test_b": "failed", "::test_c": "passed"},
    ),
    Case(
        "two collectors of one name in one file",
        {
            "conftest.py": """
                class Check(pytest.Item):
                    def runtest(self): assert self.parent.passes
                    def reportinfo(self): return self.path, 0, self.name
                class Group(pytest.Collector):
                    def collect(self):
                        check = Check.from_parent(self, name="check")
                        check.add_marker(pytest.mark.migration_component(self.component))
                        yield check
                class Checks(pytest.File):
                    def collect(self):
                        for component, passes in (("agent-zero", True), ("guardian-hive", False)):
                            group = Group.from_parent(self, name="group")
                            group.component, group.passes = component, passes
                            yield group
                def pytest_collect_file(file_path, parent):
                    if file_path.suffix == ".yaml": return Checks.from_parent(parent, path=file_path)
            """,
            "checks.yaml": "",
        },
        FAILED,
        {"agent-zero: checks.yaml::group::check": "passed", "checks.yaml::group::check (2)": "failed"},
    ),
    Case(
        "two tests with one test_name are still refused",
        '@pytest.mark.migration_component("a", test_name="x")\ndef test_a(): pass\n'
        '@pytest.mark.migration_component("a", test_name="x")\ndef test_b(): pass',
        (INTERRUPTED, FAILED),
        {"a: x": "pending", "test_it.py::test_a and test_it.py::test_b": "collection_error"},
        says=("give one another test_name",),
    ),
]  # fmt: skip


@table(TIED)
def test_reports_are_tied_to_their_tests(suite: Suite, case: Case, how: str) -> None:
    """If the node id is ambiguous, the running item decides. A test is never recorded as another."""
    check(suite, case, how)


def test_test_outside_rootdir_is_named_by_its_path(suite: Suite) -> None:
    """A test outside rootdir is named by its path, so that its pass is never mistaken for that of another."""
    suite.write(TWINS | {"one/test_x.py": BAD_B, "two/test_x.py": GOOD_B})
    options = ("-c", "ci/pytest.ini", "--import-mode=importlib")
    assert suite.run(*options, "one", "two").status == FAILED
    assert suite.run(*options, "two", "--migration-complete").status == FAILED
    assert suite.books == {"../one/test_x.py::test_b": "failed", "../two/test_x.py::test_b": "passed"}


@pytest.mark.parametrize("how", BOTH_DEEP)
def test_hook_that_raises_during_a_test_is_a_problem(suite: Suite, how: str) -> None:
    """It is a problem of the run, and no test is lost."""
    hook = """
        def pytest_migration_component(item):
            if hasattr(item, "runs"): raise RuntimeError("no such component")
        def pytest_runtest_setup(item): item.runs = True
    """
    suite.write({"conftest.py": hook, "test_it.py": f"{GOOD_A}\n{GOOD_B}\ndef test_unmarked(): pass"})
    result = suite.run("--migration-complete", how=how)
    assert result.status == FAILED
    assert "problem: test_it.py::test_unmarked: RuntimeError: no such component" in result.output
    assert suite.books == {"::test_a": "passed", "::test_b": "passed"}
    assert suite.phase == Phase.VALIDATION


def test_internal_error_on_one_worker_makes_the_run_unsound(suite: Suite) -> None:
    """xdist may continue with the other worker, but the run is not sound."""
    conftest = (
        "def pytest_runtest_logfinish(nodeid):\n"
        "    if os.environ.get('PYTEST_XDIST_WORKER') == 'gw0': raise RuntimeError"
    )
    suite.write(
        {"conftest.py": conftest, "test_it.py": f"{GOOD_A}\n{GOOD_B}\n@component\ndef test_c(): pass"}
    )
    assert suite.run("--migration-complete", how=XDIST).status != OK
    assert suite.phase == Phase.VALIDATION


def test_report_from_another_thread_is_not_misattributed(suite: Suite) -> None:
    """A report of an unmarked test, from another thread, is not attributed to the running marked test."""
    threads = """
        import threading
        from _pytest.runner import call_and_report
        def pytest_runtest_call(item):
            if item.name == "test_a":
                place = ("test_it.py", 0, "test_z")
                report = pytest.TestReport("test_it.py::test_z", place, {}, "failed", "of another", "call")
                item.ihook.pytest_runtest_logreport(report=report)
    """
    suite.write({"conftest.py": threads, "test_it.py": f"{GOOD_A}\ndef test_z(): pass"})
    suite.run()
    assert suite.books == {"::test_a": "passed"}


# --- shared fixtures ----------------------------------------------------------------------------------------


def shared(scope: str, last: str, *tests: str) -> str:
    """Return tests whose marked ones use a fixture that fails in its teardown, after an unmarked test."""
    fixture = (
        f'@pytest.fixture(scope="{scope}")\ndef service():\n    yield\n    raise OSError("not stopped")\n'
    )
    return fixture + "\n".join(tests) + f"\n{last}"


USES = "@component\ndef test_a(service): pass"
DOUBT = (
    "in doubt: a fixture that it may share failed when 'test_it.py::test_z' ran (teardown: "
    "OSError: not stopped)"
)

DOUBTS = [
    *(
        Case(
            f"of the {scope}, after an unmarked test",
            shared(scope, "def test_z(): pass", USES, "@component\ndef test_b(): pass"),
            FAILED,
            {"::test_a": "pending", "::test_b": "passed"},
            "--dist loadfile" if scope == "module" else "-n0",
            (ALONE,),
            (DOUBT,),
        )
        for scope in ("module", "session")
    ),
    Case(
        "of the module, after an unmarked test, one file a worker",
        shared("module", "def test_z(): pass", USES),
        FAILED,
        {"::test_a": "pending"},
        "--dist loadfile",
        (XDIST,),
        (DOUBT,),
    ),
    Case(
        "after an unmarked test that pytest-rerunfailures repeats",
        shared("module", "def test_z(): pass", USES),
        FAILED,
        {"::test_a": "pending"},
        "-p rerunfailures --reruns 1",
        (ALONE,),
        ("in doubt: ",),
    ),
    Case(
        "after a marked test that does not use it",
        shared("module", "@component\ndef test_z(): pass", USES),
        FAILED,
        {"::test_a": "pending", "::test_z": "failed"},
        how=(ALONE,),
    ),
    Case(
        "torn down early, because of -x",
        shared("session", "def test_z(): pass", USES, "def test_y(): assert 0"),
        FAILED,
        {"::test_a": "pending"},
        "-x",
        (ALONE,),
    ),
    Case(
        "asked for while the test runs",
        shared("session", "def test_z(): pass",
            "@component\ndef test_a(request): request.getfixturevalue('service')"),
        FAILED,
        {"::test_a": "pending"},
        how=(ALONE,),
    ),
    Case(
        "overridden by one of the module",
        {
            "conftest.py": '@pytest.fixture(scope="session")\ndef service():\n    yield\n'
            '    raise OSError("not stopped")',
            "test_it.py": (
                "@pytest.fixture\ndef service(service): return service\n" + USES + "\ndef test_z(): pass"
            ),
        },
        FAILED,
        {"::test_a": "pending"},
        how=(ALONE,),
    ),
    Case(
        "torn down in the setup of the next test, since its parameter changes",
        """
        @pytest.fixture(scope="module")
        def service(request):
            yield
            if request.param == 1: raise OSError("not stopped")
        @component
        @pytest.mark.parametrize("service", [1], indirect=True)
        def test_a(service): pass
        @pytest.mark.parametrize("service", [2], indirect=True)
        def test_z(service): pass
        """,
        FAILED,
        {"::test_a[1]": "pending"},
        how=(ALONE,),
    ),
    Case(
        "at the end of the session alone",
        shared("session", "def test_z(): pass", USES, "def test_y(): pytest.exit('', returncode=0)"),
        FAILED,
        {"::test_a": "pending"},
        how=(ALONE,),
    ),
    Case(
        "of a module before: nothing is in doubt",
        {
            "test_it.py": '@pytest.fixture(scope="module")\ndef service(): yield\n@component\n'
            'def test_a(service): pass',
            "test_more.py": shared("module", "def test_z(service): pass"),
        },
        FAILED,
        {"::test_a": "passed"},
        how=(ALONE,),
    ),
    Case(
        "of the unmarked test alone: nothing is in doubt",
        shared("function", "def test_z(service): pass",
            '@pytest.fixture(scope="module")\ndef other(): yield\n@component\ndef test_a(other): pass')
        + "\ndef test_zz(): pass",
        FAILED,
        {"::test_a": "passed"},
        how=(ALONE,),
    ),
    Case(
        "of a class, by unittest",
        """
        class TestIt(unittest.TestCase):
            @classmethod
            def tearDownClass(cls): raise OSError("not stopped")
            @component
            def test_a(self): pass
            def test_z(self): pass
        """,
        FAILED,
        {"::TestIt::test_a": "pending"},
        how=(ALONE,),
    ),
]  # fmt: skip


@table(DOUBTS)
def test_failing_shared_fixture_leaves_a_verdict_in_doubt(suite: Suite, case: Case, how: str) -> None:
    """A fixture of a marked test may fail while another test runs.

    The verdict of the marked test is then in doubt.
    """
    check(suite, case, how)


def test_a_doubt_counts_in_a_completed_migration(suite: Suite) -> None:
    """A test that ran and was left without a verdict has lost its earlier one."""
    suite.write(
        shared("module", "def test_z(): pass", USES).replace(
            "raise OSError", "os.path.exists('fail') and sys.exit"
        )
    )
    assert suite.run("--migration-complete").status == OK
    suite.write({"fail": ""})
    assert suite.run("--migration-complete").status == FAILED
    assert suite.books == {"::test_a": "pending"}
    assert not suite.tracker.gate().open
    assert [problem.kind for problem in suite.tracker.verify().problems] == ["completed_past_gate"]


# --- markers that come late ---------------------------------------------------------------------------------

LATE_BAD = "@pytest.fixture\ndef mark(request): request.node.add_marker(component)\n"

LATE = [
    Case("in a fixture", LATE_BAD + "def test(mark): assert 0", FAILED, {"::test": "failed"}),
    Case("in a fixture, passes", LATE_BAD + "def test(mark): pass", OK, {"::test": "passed"}),
    Case("in the test", "def test(request):\n    request.node.add_marker(component)\n    assert 0", FAILED,
        {"::test": "failed"}),
    Case(
        "in teardown, after the test failed",
        "@pytest.fixture\ndef mark(request):\n    yield\n    request.node.add_marker(component)\n"
        "def test(mark): assert 0",
        FAILED,
        {"::test": "failed"},
    ),
    Case(
        "in pytest_runtest_setup",
        {"conftest.py": "def pytest_runtest_setup(item): item.add_marker(component)",
            "test_it.py": "def test(): assert 0"},
        FAILED,
        {"::test": "failed"},
    ),
    Case(
        "in a modifyitems that runs after the plugin's",
        {
            "conftest.py": """
                class Late:
                    @pytest.hookimpl(wrapper=True, tryfirst=True)
                    def pytest_collection_modifyitems(self, items):
                        yield
                        for item in items: item.add_marker(component)
                @pytest.hookimpl(tryfirst=True)
                def pytest_collection(session): session.config.pluginmanager.register(Late())
            """,
            "test_it.py": "def test(): assert 0",
        },
        FAILED,
        {"::test": "failed"},
    ),
    Case(
        "one component more",
        '@component\ndef test(request):\n'
        '    request.node.add_marker(pytest.mark.migration_component("agent-zero"))\n    assert 0',
        FAILED,
        {"::test": "failed", "agent-zero: test_it.py::test": "failed"},
    ),
    Case(
        "by the hook, once the test has run",
        {
            "conftest.py": """
                names = []
                def pytest_runtest_setup(item): names.append(item.name)
                def pytest_migration_component(item): return "guardian-hive" if item.name in names else None
            """,
            "test_it.py": "def test(): assert 0",
        },
        FAILED,
        {"::test": "failed"},
    ),
    Case(
        "a closer one than that of the class",
        """
        @component
        class TestIt:
            def test(self, request): request.node.add_marker(pytest.mark.migration_component("agent-zero"))
        """,
        OK,
        {"::TestIt::test": "passed", "agent-zero: test_it.py::TestIt::test": "passed"},
    ),
    Case(
        "one that names nothing",
        f"{GOOD_A}\ndef test(request): request.node.add_marker(pytest.mark.migration_component())",
        FAILED,
        {"::test_a": "passed"},
        says=("problem: test_it.py::test: the marker migration_component names no component",),
    ),
    Case(
        "one whose validation is another's",
        f"{GOOD_A}\ndef test(request):\n"
        f"    request.node.add_marker(pytest.mark.migration_component('{COMPONENT}', "
        "test_name='test_it.py::test_a'))",
        FAILED,
        {"::test_a": "passed"},
        says=(
            (
                "problem: test_it.py::test: the validation 'test_it.py::test_a' of 'guardian-hive' "
                "is that of test_it.py::test_a too"
            ),
        ),
    ),
]  # fmt: skip


@table(LATE, together="")
def test_late_markers_are_recorded_or_reported(suite: Suite, case: Case, how: str) -> None:
    """A component that is named after the collection is recorded.

    If it cannot be recorded, that is a problem of the run.
    """
    suite.write(case.files)
    result = suite.run("--migration-complete", how=how)
    assert suite.books == case.books
    assert result.status == case.status
    assert [words for words in case.says if words not in result.output] == []
    assert (suite.phase == Phase.COMPLETED) is (case.status == OK)


@pytest.mark.parametrize(
    "statement",
    [
        "os._exit(9)",
        pytest.param("raise KeyboardInterrupt", marks=pytest.mark.deep),
        "pytest.exit('', returncode=0)",
    ],
)
@pytest.mark.parametrize("where", ["fixture", "test"])
def test_late_marker_makes_its_test_pending(suite: Suite, where: str, statement: str) -> None:
    """The test is pending as soon as it is marked, so that the gate does not open without it."""
    mark = "request.node.add_marker(component)"
    if where == "fixture":
        suite.write(f"{GOOD_A}\n@pytest.fixture\ndef mark(request): {mark}\ndef test_z(mark): {statement}")
    else:
        suite.write(f"{GOOD_A}\ndef test_z(request):\n    {mark}\n    {statement}")
    result = suite.run("--migration-complete")
    assert result.status != OK
    if where == "test" and "_exit" in statement:
        pytest.skip("a marker of a process that is gone cannot be seen")
    assert suite.books == {"::test_a": "passed", "::test_z": "pending"}
    assert not suite.can_be_completed()


# --- several markers, several levels ------------------------------------------------------------------------

X, Y = "pytest.mark.migration_component('x')", "pytest.mark.migration_component('y')"

LEVELS = [
    Case("stacked", f"@{X}\n@{Y}\ndef test(): pass", OK,
        {"y: test_it.py::test": "passed", "x: test_it.py::test": "passed"}),
    Case("of a module", f"pytestmark = [{X}, {Y}]\ndef test(): assert 0", FAILED,
        {"x: test_it.py::test": "failed", "y: test_it.py::test": "failed"}),
    Case("the closest level", f"pytestmark = {X}\n@{Y}\ndef test(): pass", OK,
        {"y: test_it.py::test": "passed"}),
    Case(
        "stacked, each with a name",
        "@pytest.mark.migration_component('x', test_name='one')\n"
        "@pytest.mark.migration_component('x', test_name='two')\ndef test(): pass",
        OK,
        {"x: two": "passed", "x: one": "passed"},
    ),
    *(
        Case(f"a reserved name: {name}", f"@pytest.mark.migration_component('{name}')\ndef test(): pass",
            (INTERRUPTED, FAILED), {"test_it.py::test": "collection_error"}, says=("that name is reserved",))
        for name in ("(collection)", "(unknown)")
    ),
]  # fmt: skip


@table(LEVELS, together="")
def test_markers_on_the_closest_level_count(suite: Suite, case: Case, how: str) -> None:
    """All markers on the closest level count together."""
    check(suite, case, how)


# --- ends that are not reported, or too late ----------------------------------------------------------------

#: Runs tests like plugins with their own loop: with reports, but without a call of pytest_runtest_logfinish.
OWN_PROTOCOL = """
from _pytest.runner import runtestprotocol
def pytest_runtest_protocol(item, nextitem):
    runtestprotocol(item, nextitem=nextitem)
    return True
"""
#: Does not call the hook that runs a test either.
OWN_LOOP = """
from _pytest.runner import runtestprotocol
def pytest_runtestloop(session):
    for item in session.items:
        runtestprotocol(item, nextitem=None)
    return True
"""
CALL_ONLY = """
from _pytest.runner import call_and_report
def pytest_runtestloop(session):
    for item in session.items:
        call_and_report(item, "setup", log=False)
        call_and_report(item, "call")
        call_and_report(item, "teardown", log=False, nextitem=None)
    return True
"""
LATE_REPORT = """
def late(session, name="test_it.py::test_a", when="teardown"):
    report = pytest.TestReport(name, ("test_it.py", 0, "test_a"), {}, "failed", "too late", when)
    session.config.hook.pytest_runtest_logreport(report=report)
"""
ENDS = [
    Case("a protocol of its own", {"conftest.py": OWN_PROTOCOL, "test_it.py": f"{GOOD_A}\n{BAD_B}"}, FAILED,
        {"::test_a": "passed", "::test_b": "failed"}),
    Case("a loop of its own", {"conftest.py": OWN_LOOP, "test_it.py": f"{GOOD_A}\n{BAD_B}"}, FAILED,
        {"::test_a": "passed", "::test_b": "failed"}, how=(ALONE,)),
    Case(
        "no report of the teardown",
        {"conftest.py": CALL_ONLY, "test_it.py": f"{GOOD_A}\n{BAD_B}"},
        FAILED,
        {"::test_a": "pending", "::test_b": "failed"},
        how=(ALONE,),
        says=("has no verdict (no report of its end reached us)",),
    ),
    Case(
        "no report of the teardown, by a protocol of its own",
        {
            "conftest.py": CALL_ONLY.replace("pytest_runtestloop(session)", "pytest_runtest_protocol(item)")
            .replace("    for item in session.items:\n", "")
            .replace("        call", "    call"),
            "test_it.py": f"{GOOD_A}\n{BAD_B}",
        },
        FAILED,
        {"::test_a": "pending", "::test_b": "failed"},
        says=("has no verdict (no report of its end reached us)",),
    ),
    Case(
        "an outcome that a plugin calls by another name",
        {
            "conftest.py": """
                @pytest.hookimpl(wrapper=True)
                def pytest_runtest_makereport(item, call):
                    report = yield
                    if call.when == "call": report.outcome = "quarantined"
                    return report
            """,
            "test_it.py": GOOD_A,
        },
        FAILED,
        {"::test_a": "pending"},
        says=("its last outcome is 'quarantined', which is not a final one",),
    ),
    Case(
        "a failed report in sessionfinish",
        {"conftest.py": LATE_REPORT + "def pytest_sessionfinish(session): late(session)",
            "test_it.py": f"{GOOD_A}\n{GOOD_B}"},
        FAILED,
        {"::test_a": "failed", "::test_b": "passed"},
        how=(ALONE,),
    ),
    Case(
        "a failed report by a wrapper of the loop",
        {
            "conftest.py": LATE_REPORT
            + "@pytest.hookimpl(wrapper=True)\ndef pytest_runtestloop(session):\n"
            "    result = yield\n    late(session)\n    return result",
            "test_it.py": f"{GOOD_A}\n{GOOD_B}",
        },
        FAILED,
        {"::test_a": "failed", "::test_b": "passed"},
        how=(ALONE,),
    ),
    Case(
        "a failed report of an ended test while another runs",
        {
            "conftest.py": LATE_REPORT
            + "def pytest_runtest_call(item): item.name == 'test_b' and late(item.session, when='call')",
            "test_it.py": f"{GOOD_A}\n{GOOD_B}",
        },
        FAILED,
        {"::test_a": "failed", "::test_b": "passed"},
        how=(ALONE,),
    ),
    Case(
        "a failed report after the end of the session",
        {
            "conftest.py": LATE_REPORT
            + "def pytest_unconfigure(config): late(type('', (), {'config': config}))",
            "test_it.py": f"{GOOD_A}\n{GOOD_B}",
        },
        FAILED,
        {"::test_a": "failed", "::test_b": "passed"},
        how=(ALONE,),
    ),
    Case(
        "an attempt that a plugin calls retried",
        {
            "conftest.py": """
                @pytest.hookimpl(wrapper=True)
                def pytest_runtest_makereport(item, call):
                    report = yield
                    if call.when == "call" and report.failed:
                        report.outcome = "retried"
                        item.ihook.pytest_runtest_logreport(report=report)
                        again = pytest.CallInfo.from_call(lambda: item.runtest(), "call")
                        report = pytest.TestReport.from_item_and_call(item, again)
                    return report
            """,
            "test_it.py": ATTEMPT + '@component\ndef test(): assert attempt("a") == 2\n' + BAD_B,
        },
        FAILED,
        {"::test": "passed on attempt 2", "::test_b": "failed on attempt 2"},
    ),
]  # fmt: skip


@table(ENDS)
def test_tests_without_a_reported_end_are_recorded(suite: Suite, case: Case, how: str) -> None:
    """A test ends at the latest with its last report. A verdict may get worse until the session ends."""
    check(suite, case, how)


#: Deselects a test, and runs it when the session has ended.
RUN_LATE = (
    OWN_PROTOCOL
    + """
late = []
def pytest_collection_modifyitems(config, items):
    late[:] = [item for item in items if item.name == "test_b"]
    items[:] = [item for item in items if item.name != "test_b"]
    config.hook.pytest_deselected(items=late)
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish():
    yield
    for item in late: item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
"""
)


@pytest.mark.parametrize(
    ("test", "outcome"),
    [
        (GOOD_B, "passed"),
        (f"@pytest.mark.skip\n{GOOD_B}", "skipped"),
        (f"@pytest.mark.xfail\n{BAD_B}", "xfailed"),
        (BAD_B, "failed"),
    ],
    ids=["passed", "skipped", "xfailed", "failed"],
)
def test_result_after_the_session_is_never_0(suite: Suite, test: str, outcome: str) -> None:
    """The exit status is never 0, because neither the gate nor the summary knew the result."""
    suite.write({"conftest.py": RUN_LATE, "test_it.py": f"{GOOD_A}\n{test}"})
    allowed = (f"--migration-allow={reason}" for reason in ("deselected", "skipped", "xfailed"))
    assert suite.run(*allowed, "--migration-complete").status == FAILED
    assert suite.books == {"::test_a": "passed", "::test_b": outcome}


# --- a request that was not fulfilled is never 0 ------------------------------------------------------------

NEVER_0 = [
    *(
        Case(f"{words} in a conftest's {hook}",
            {"conftest.py": f"def {hook}(): {words}", "test_it.py": GOOD_A}, status, {}, how=(ALONE,))
        for hook in ("pytest_configure", "pytest_sessionstart")
        for words, status in (("pytest.exit('', returncode=0)", FAILED), ("sys.exit(0)", (FAILED, 3)))
    ),
    Case(
        "sys.exit(0) in a conftest",
        {"conftest.py": "sys.exit(0)", "test_it.py": GOOD_A},
        FAILED,
        {},
        how=(ALONE,),
        says=(
            (
                "migration-state: a conftest exited with status 0 while it was imported; "
                "no test ran and nothing is recorded"
            ),
        ),
    ),
    Case("os.getpid mocked and left so", "os.getpid = lambda: 1\n" + GOOD_A, OK, {"::test_a": "passed"}),
    Case("os.getpid mocked in a test and left so, fails",
        f"{GOOD_A}\n@component\ndef test_b():\n    os.getpid = lambda: 1\n    assert 0", FAILED,
        {"::test_a": "passed", "::test_b": "failed"}),
]  # fmt: skip


@table(NEVER_0)
def test_incomplete_run_is_never_0(suite: Suite, case: Case, how: str) -> None:
    """Either the migration is completed, or the exit status is not 0."""
    suite.write(case.files)
    result = suite.run("--migration-complete", how=how)
    assert suite.books == case.books
    assert result.status in (case.status if isinstance(case.status, tuple) else (case.status,))
    assert [words for words in case.says if words not in result.output] == []
    assert (suite.phase == Phase.COMPLETED) is (result.status == OK)


@pytest.mark.parametrize("how", BOTH_DEEP)
@pytest.mark.parametrize(
    "hook",
    [
        (
            "@pytest.hookimpl(wrapper=True, tryfirst=True)\ndef pytest_sessionfinish(session):\n"
            "    yield\n    session.exitstatus = 0"
        ),
        "def pytest_unconfigure(): sys.exit(0)",
        "def pytest_terminal_summary(): pytest.exit('', returncode=0)",
    ],
)
def test_lowered_exit_status_is_raised_again(suite: Suite, hook: str, how: str) -> None:
    """A run with a failed validation does not end with 0, whatever sets the status last."""
    suite.write({"conftest.py": hook, "test_it.py": BAD_B})
    assert suite.run(how=how).status == FAILED


def test_inherited_variable_of_a_finished_run_is_ignored(suite: Suite) -> None:
    """A service started by a test may outlive the run and pass on its variable. Its own runs are recorded."""
    suite.environment["MIGRATION_STATE_RUN"] = f"deadbeef {suite.path}"
    suite.write(GOOD_A)
    assert suite.run("--migration-complete").status == OK
    assert suite.phase == Phase.COMPLETED


@not_on_windows
def test_forked_child_is_not_the_run(suite: Suite) -> None:
    """A forked child reports that it is not the run, and its status is not 0."""
    fork = """
        def pytest_sessionstart():
            if child := os.fork():
                os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    suite.write({"conftest.py": fork, "test_it.py": GOOD_A})
    result = suite.run("--migration-complete")
    assert result.status == FAILED
    assert (
        "migration-state: this process was forked from the one that records, so nothing that "
        "it ran is recorded" in result.errors
    )
    assert suite.phase == Phase.VALIDATION


# --- runs that end while they collect -----------------------------------------------------------------------

#: Ways to end them: a file that they import, or a hook of a conftest.
ENDING = {
    "an import error, -x": ({"test_b.py": "import no_such_module"}, "-x"),
    "an import error, --maxfail=1": ({"test_b.py": "import no_such_module"}, "--maxfail=1"),
    "Ctrl-C": ({"test_b.py": "raise KeyboardInterrupt"}, ""),
    "sys.exit": ({"test_b.py": "sys.exit()"}, ""),
    "os._exit": ({"test_b.py": "os._exit(0)"}, "--max-worker-restart=0"),
    "an internal error": ({"conftest.py": "def pytest_collection_modifyitems(): raise RuntimeError"}, ""),
    "pytest.exit": (
        {"conftest.py": "def pytest_collection_modifyitems(): pytest.exit('', returncode=0)"},
        "",
    ),
    "a usage error": (
        {"conftest.py": "def pytest_collection_modifyitems(): raise pytest.UsageError('no')"},
        "",
    ),
}


#: Those that end like another.
ENDING_ALIKE = ("an import error, --maxfail=1", "sys.exit", "an internal error", "a usage error")


@pytest.mark.parametrize(("files", "args", "how"), both_ways(ENDING, deep=ENDING_ALIKE))
def test_run_that_ends_during_collection_keeps_the_gate_shut(
    suite: Suite, files: dict[str, str], args: str, how: str
) -> None:
    """Its tests are unknown.

    The gate is shut until a run of the same selection has settled it.
    """
    suite.write(GOOD_A)
    assert suite.run(how=how).status == OK
    suite.write(files)
    suite.run(*args.split(), how=how)
    assert not suite.can_be_completed()
    for name in files:
        suite.write({name: GOOD_B if name.startswith("test") else ""})
    suite.run("-k", "nothing", how=how)
    assert not suite.can_be_completed()
    result = suite.run(*args.split(), "-v", how=how)
    assert result.status == OK
    assert "it is settled by this run, which was asked to run the same tests" in result.output
    assert suite.can_be_completed()


DIES = {
    "a/test_a.py": GOOD_A,
    "b/test_b.py": GOOD_B,
    "test_it.py": "os.environ.get('DIE') and os._exit(9)\n" + GOOD_A,
}


def _die(suite: Suite, *args: str) -> None:
    suite.environment["DIE"] = "1"
    suite.run(*args)
    del suite.environment["DIE"]


@pytest.mark.parametrize(
    "other",
    [
        ("--ignore=b",),
        pytest.param(("-k", "test_a"), marks=pytest.mark.deep),
        pytest.param(("-o", "python_files=test_a.py test_it.py"), marks=pytest.mark.deep),
        ("a", "test_it.py"),
    ],
)
def test_another_selection_settles_nothing(suite: Suite, other: tuple[str, ...]) -> None:
    """A run that was killed while it collected is settled only by a run with the same selection."""
    suite.write(DIES)
    _die(suite, "--ignore=a")
    result = suite.run(*other, "--migration-complete")
    assert result.status == FAILED
    assert suite.phase == Phase.VALIDATION
    assert "was killed; its plan is not recorded\n    -> run the same again" in result.output
    assert (
        suite.run(
            "--ignore=a", "-v", "-n1", f"--junitxml={suite.folder}/x.xml", "--migration-complete"
        ).status
        == OK
    )
    assert suite.phase == Phase.COMPLETED


def test_a_full_run_settles_a_narrowed_one(suite: Suite) -> None:
    """It collects more than a run with --lf would have."""
    suite.write(DIES)
    _die(suite, "--lf")
    result = suite.run("--migration-complete")
    assert result.status == OK
    assert "it is settled by this run" in result.output


def test_same_arguments_can_be_another_selection(suite: Suite) -> None:
    """The content of an argument file counts, and --ignore is relative to the current folder."""
    suite.write(DIES | {"pytest.ini": "[pytest]", "args.txt": "--ignore=a"})
    _die(suite, "@args.txt")
    suite.write({"args.txt": "--ignore=b"})
    assert suite.run("@args.txt", "--migration-complete").status == FAILED
    assert suite.run("--ignore=a", "--migration-complete").status == OK
    suite.tracker.audit_log_path.unlink()
    suite.path.write_text('{"phase": "Validation"}', encoding="utf-8")
    here, suite.folder = suite.folder, suite.folder / "a"
    _die(suite, "--ignore=b", "..")
    suite.folder = here
    assert suite.run("--ignore=b", ".", "--migration-complete").status == FAILED


def test_projects_of_one_repository_do_not_settle_each_other(suite: Suite) -> None:
    """A run killed in one is not settled by the other, however similar the arguments are."""
    suite.write(
        {
            ".git/HEAD": "",
            "a/pytest.ini": "[pytest]",
            "b/pytest.ini": "[pytest]",
            "a/test_it.py": DIES["test_it.py"],
            "b/test_b.py": GOOD_B,
        }
    )
    here = suite.folder
    suite.folder = here / "a"
    _die(suite)
    suite.folder = here / "b"
    assert suite.run("--migration-complete").status == FAILED
    suite.folder = here / "a"
    assert suite.run("--migration-complete").status == OK


#: What gives two projects names of their own, wherever their folders are.
NAMES: dict[str, Callable[[str], dict[str, str]]] = {
    "pyproject.toml": lambda name: {
        f"{name}/pyproject.toml": f'[project]\ndependencies = ["pytest"]\nname = "{name}"\n'
    },
    "remote": lambda name: {
        f"{name}/.git/config": f'[remote "origin"]\n\turl = https://host/{name}.git\n',
        f"{name}/pytest.ini": "[pytest]",
    },
}


@pytest.mark.parametrize("named", NAMES.values(), ids=NAMES)
def test_projects_with_other_names_do_not_settle_each_other(
    suite: Suite, named: Callable[[str], dict[str, str]]
) -> None:
    """Each is a repository, or a folder, of its own, and their arguments are the same."""
    suite.write({**named("a"), **named("b"), "a/test_it.py": DIES["test_it.py"], "b/test_b.py": GOOD_B})
    here = suite.folder
    suite.folder = here / "a"
    _die(suite)
    suite.folder = here / "b"
    assert suite.run("--migration-complete").status == FAILED
    assert not suite.can_be_completed()
    suite.folder = here / "a"
    assert suite.run("--migration-complete").status == OK


@pytest.mark.parametrize("how", BOTH_DEEP)
def test_a_file_of_another_project_with_the_same_name_settles_nothing(suite: Suite, how: str) -> None:
    """Each project waits until its own file can be collected, whichever could not be first."""
    suite.write({".git/HEAD": "", "a/pytest.ini": "[pytest]", "b/pytest.ini": "[pytest]"})
    bad = "import not_installed\n"
    here = suite.folder
    for name, content in (("a", bad), ("b", bad), ("b", GOOD_B)):
        suite.folder = here
        suite.write({f"{name}/test_it.py": content})
        suite.folder = here / name
        result = suite.run("--migration-complete", how=how)
    assert result.status == FAILED
    assert "test_it.py could not be collected" in result.output
    suite.folder = here
    suite.write({"a/test_it.py": GOOD_A})
    suite.folder = here / "a"
    assert suite.run("--migration-complete", how=how).status == OK


@pytest.mark.parametrize("how", BOTH_DEEP)
def test_the_root_folder_is_settled_only_by_a_look_at_it(suite: Suite, how: str) -> None:
    """The session itself is collected in every run."""
    suite.write(
        {
            "conftest.py": """
            def pytest_collect_file(file_path, parent):
                if file_path.suffix == ".md" and os.environ.get("BAD"): raise RuntimeError("broken parser")
            """,
            "other/test_o.py": GOOD_A,
            "handbook.md": "",
        }
    )
    suite.environment["BAD"] = "1"
    assert suite.run(how=how).status != OK
    del suite.environment["BAD"]
    result = suite.run("other", "--migration-complete", how=how)
    assert result.status == FAILED
    assert ". could not be collected" in result.output
    assert suite.run("--migration-complete", how=how).status == OK


def test_an_option_of_the_project_is_not_one_of_pytest_picked(suite: Suite) -> None:
    """``--mode`` says how pytest-picked picks, but only with ``--picked``."""
    suite.write(
        DIES
        | {
            "conftest.py": 'def pytest_addoption(parser): parser.addoption("--mode", default="smoke")',
        }
    )
    _die(suite, "--mode=full")
    assert suite.run("--migration-complete").status == FAILED
    assert suite.run("--mode=full", "--migration-complete").status == OK


@pytest.mark.parametrize("how", BOTH_DEEP)
def test_a_pass_before_a_rerun_in_completed_counts_no_more_behind_it(suite: Suite, how: str) -> None:
    """A migration that is Completed keeps it while the test waits to run again.

    One that is forced back to Validation does not.
    """
    suite.write(
        """
        @component
        def test_1(): assert not os.environ.get("BAD")
        @component
        def test_2(): assert not os.environ.get("BAD")
        """
    )
    assert suite.run("--migration-complete", how=how).status == OK
    suite.environment["BAD"] = "1"
    assert suite.run("-x", "test_it.py::test_1", "test_it.py::test_2").status == FAILED
    assert suite.tracker.gate().blockers[0].kind == "failed"
    suite.tracker.set_phase("Validation", force=True, reason="broken again")
    del suite.environment["BAD"]
    result = suite.run("test_it.py::test_1", "--migration-complete", how=how)
    assert result.status == FAILED
    assert "'test_it.py::test_2' of 'guardian-hive' was selected to run and has no verdict" in result.output
    assert suite.run("--migration-complete", how=how).status == OK


@pytest.mark.parametrize("how", BOTH_DEEP)
@pytest.mark.parametrize("args", [("no_such_file.py",), ("-k", "a and"), ("test_it.py::no_such_test",)])
def test_run_that_pytest_refuses_leaves_nothing_to_settle(
    suite: Suite, args: tuple[str, ...], how: str
) -> None:
    """A misspelled argument selects nothing that exists, so nothing has to be settled.

    The summary says the same.
    """
    suite.write(GOOD_A)
    assert suite.run(how=how).status == OK
    result = suite.run(*args, how=how)
    assert result.status != OK
    assert "ended before it was known which tests it would run" not in result.output
    assert suite.can_be_completed()


def test_a_retry_on_another_machine_settles_it(
    suite: Suite, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The selection is relative to pytest's rootdir.

    Neither the machine nor the folder, nor where pytest was started, makes a difference.
    """
    suite.write(DIES | {"pytest.ini": "[pytest]"})
    _die(suite, f"--ignore={suite.folder}/a", f"{suite.folder}/test_it.py", "b")
    other = Suite(tmp_path_factory.mktemp("elsewhere"))
    shutil.copytree(suite.folder, other.folder, dirs_exist_ok=True)
    other.folder = other.folder / "b"
    result = other.run("--ignore=../a", "../test_it.py", f"{other.folder}", "--migration-complete", "-q")
    assert result.status == OK
    assert other.phase == Phase.COMPLETED


@contextmanager
def running(suite: Suite, *args: str, until: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a run beside the test, and wait until it has created the file ``until``.

    The run waits until that file is deleted.
    """
    options = ["-p", "pytest_migration_state.plugin", f"--migration-state={suite.path}", *args]
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *options],
        cwd=suite.folder,
        env=suite.environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait(lambda: (suite.folder / until).exists() or process.poll() is not None)
        assert process.poll() is None
        yield process
    finally:
        (suite.folder / until).unlink(missing_ok=True)
        process.wait(60)


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


#: Waits in one of two runs, the one with SLOW in its environment.
HOLD = """
def hold(name):
    if os.environ.get("SLOW"):
        open(name, "w").close()
        while os.path.exists(name): time.sleep(0.02)
"""


@pytest.mark.parametrize("how", BOTH_DEEP)
def test_a_run_that_is_alive_is_not_settled(suite: Suite, how: str) -> None:
    """The gate waits for it while it collects and while its tests run, and says so."""
    suite.write(HOLD + f"hold('held')\n{GOOD_A}")
    suite.environment["SLOW"] = "1"
    with running(suite, until="held"):
        del suite.environment["SLOW"]
        result = suite.run("--migration-complete", how=how)
        assert result.status == FAILED
        assert " is running now\n    -> let it finish, or: migration-state forget" in result.output
        assert not suite.can_be_completed()
    assert suite.run("--migration-complete", how=how).status == OK


# --- two runs at once ---------------------------------------------------------------------------------------

#: One test that only one of two runs fails.
ONE_FAILS = HOLD + "@component\ndef test():\n    hold('held')\n    assert not os.environ.get('SLOW')"


def test_a_run_waits_for_another_that_still_runs_the_same_test(suite: Suite) -> None:
    """One run's pass does not settle the other's outstanding verdict, which counts when it is recorded."""
    suite.write(ONE_FAILS)
    suite.environment["SLOW"] = "1"
    with running(suite, until="held"):
        del suite.environment["SLOW"]
        result = suite.run("--migration-complete")
        assert (result.status, suite.phase) == (FAILED, Phase.VALIDATION)
        assert suite.books == {"::test": "passed, pending"}
        assert not suite.can_be_completed()
    assert suite.books == {"::test": "failed"}
    assert not suite.can_be_completed()


@not_on_windows
def test_a_run_that_was_killed_has_lost_its_verdict(suite: Suite) -> None:
    """One of two runs of a test passes and the other is killed: the verdict of the killed run is unknown."""
    suite.write(ONE_FAILS)
    suite.environment["SLOW"] = "1"
    with running(suite, until="held") as slow:
        del suite.environment["SLOW"]
        suite.run("-k", "test")
        slow.kill()
    assert suite.books == {"::test": "passed, pending"}
    assert not suite.can_be_completed()
    assert suite.run("--migration-complete").status == OK


def test_a_run_does_not_complete_over_its_own_failure(suite: Suite) -> None:
    """The state contains another run's later pass, but this run's own test failed."""
    suite.write(
        HOLD
        + (
            "@component\ndef test_a(): assert not os.environ.get('SLOW')\n@component\n"
            "def test_b(): hold('held')"
        ),
    )
    suite.environment["SLOW"] = "1"
    with running(suite, "--migration-complete", until="held") as slow:
        del suite.environment["SLOW"]
        suite.run("-k", "test_a")
        assert suite.books == {"::test_a": "passed", "::test_b": "pending"}
    assert slow.returncode == FAILED
    assert suite.books == {"::test_a": "passed", "::test_b": "passed"}
    assert suite.phase == Phase.VALIDATION
    (blocked,) = [entry for entry in suite.log() if entry["action"] == "GateBlocked"]
    assert [blocker["test_name"] for blocker in blocked["data"]["blockers"]] == ["test_it.py::test_a"]


# --- what was not looked at ---------------------------------------------------------------------------------

#: In pytest's cache, from an unrecorded run: one file passes, and one test of the other file fails.
CACHED = {"test_it.py": GOOD_A, "test_more.py": f"{GOOD_A}\n{BAD_B}"}
NOT_SEEN = {
    "test_it.py": "deselected",
    "test_more.py::test_a": "deselected",
    "test_more.py::test_b": "passed",
}


@pytest.mark.parametrize("how", BOTH_DEEP)
@pytest.mark.parametrize("option", ["--lf", "--sw"])
def test_tests_unknown_to_the_state_are_outstanding_with_lf(suite: Suite, option: str, how: str) -> None:
    """A run may leave out tests by the results of an earlier run.

    They are outstanding unless the state has seen all of them before.
    """
    suite.write(CACHED)
    suite.run(*(["--sw"] if option == "--sw" else []), recorded=False)
    suite.write({"test_more.py": f"{GOOD_A}\n{GOOD_B}"})
    result = suite.run(option, "--migration-complete", how=how)
    assert result.status == FAILED
    assert suite.books == (
        NOT_SEEN
        if option == "--lf"
        else {
            "::test_a": "deselected",
            "test_more.py::test_a": "deselected",
            "test_more.py::test_b": "passed",
        }
    )
    assert not suite.can_be_completed()
    result = suite.run("--migration-complete", how=how)
    assert (result.status, suite.phase) == (OK, Phase.COMPLETED)


@pytest.mark.parametrize("how", BOTH_DEEP)
def test_lf_settles_failures_after_a_full_run(suite: Suite, how: str) -> None:
    """After a full run --lf settles the failures.

    Files without marked tests are not required again.
    """
    suite.write(CACHED | {"test_unmarked.py": "def test(): pass"})
    assert suite.run(how=how).status == FAILED
    suite.write({"test_more.py": f"{GOOD_A}\n{GOOD_B}"})
    assert suite.run("--lf", "--migration-complete", how=how).status == OK
    assert suite.phase == Phase.COMPLETED


def test_new_file_left_out_by_lf_is_outstanding(suite: Suite) -> None:
    """The files differ from those that a full run has seen: those that --lf leaves out are outstanding."""
    suite.write(CACHED)
    suite.run()
    suite.write({"test_more.py": f"{GOOD_A}\n{GOOD_B}", "test_new.py": BAD_B})
    result = suite.run("--lf", "--migration-complete")
    assert result.status == FAILED
    assert "test_new.py was not looked at (--lf)\n    -> run: pytest" in result.output


@pytest.mark.parametrize("how", BOTH_DEEP)
def test_changed_file_left_out_is_outstanding(suite: Suite, how: str) -> None:
    """A test that was added to it is unknown."""
    suite.write(CACHED)
    suite.run(how=how)
    suite.write(
        {
            "test_more.py": f"{GOOD_A}\n{GOOD_B}",
            "test_it.py": f"{GOOD_A}\n@component\ndef test_new(): assert 0",
        }
    )
    assert suite.run("--lf", "--migration-complete", how=how).status == FAILED
    assert suite.books == {
        "::test_a": "passed",
        "test_it.py": "deselected",
        "test_more.py::test_a": "passed",
        "test_more.py::test_b": "passed",
    }


def test_folder_left_out_by_a_plugin_is_outstanding(suite: Suite) -> None:
    """Each of its test files is outstanding."""
    suite.write(
        {
            "chooser.py": (
                'def pytest_ignore_collect(collection_path): return collection_path.name == "sub" or None'
            )
        }
    )
    suite.write({"sub/deep/test_b.py": BAD_B, "test_it.py": GOOD_A})
    assert suite.run("-p", "chooser", "--migration-complete").status == FAILED
    assert suite.books == {"::test_a": "passed", "sub/deep/test_b.py": "deselected"}


#: Installed plugins that select files by information of their own.
IGNORES = """
def pytest_ignore_collect(collection_path):
    return collection_path.name == "test_it.py" or None
"""
CHOOSES = """
def pytest_configure(config):
    config.args = ["test_more.py"]
"""


@pytest.mark.parametrize("how", BOTH_DEEP)
@pytest.mark.parametrize(
    ("plugin", "outstanding"),
    [(IGNORES, "test_it.py was not looked at"), (CHOOSES, "everything else was not looked at")],
    ids=["ignores", "chooses"],
)
def test_files_left_out_by_a_plugin_are_outstanding(
    suite: Suite, plugin: str, outstanding: str, how: str
) -> None:
    """testmon ignores files, and picked selects them.

    The rest is outstanding until all files were collected once.
    """
    suite.write({"chooser.py": plugin, "test_it.py": BAD_B, "test_more.py": GOOD_A, "helper.py": ""})
    result = suite.run("-p", "chooser", "--migration-complete", how=how)
    assert result.status == FAILED
    assert outstanding in result.output
    suite.write(GOOD_B)
    assert suite.run(how=how).status == OK
    suite.write({"test_more.py": f"{GOOD_A}\n{GOOD_B}"})
    if plugin == IGNORES:
        assert suite.can_be_completed()
    else:
        # Naming the plugin in the call makes it another selection, of which no full run was seen yet.
        assert not suite.can_be_completed()


def test_deliberately_ignored_files_are_not_required(suite: Suite) -> None:
    """Files that pytest's options or a conftest leave out are not required."""
    conftest = (
        "collect_ignore = ['test_b.py']\n"
        "def pytest_ignore_collect(collection_path): return collection_path.name == 'test_c.py' or "
        "None"
    )
    suite.write(
        {
            "conftest.py": conftest,
            "test_it.py": GOOD_A,
            "test_b.py": BAD_B,
            "test_c.py": BAD_B,
            "test_d.py": BAD_B,
        }
    )
    assert suite.run("--ignore=test_d.py", "--migration-complete").status == OK


# --- runs inside runs ---------------------------------------------------------------------------------------

NESTED = """
@component
def test():
    import subprocess
    command = [sys.executable, "-m", "pytest", "-p", "pytest_migration_state.plugin", "inner.py"]
    done = subprocess.run(command, capture_output=True, text=True)
    print(done.stdout)
    assert done.returncode == 0
    assert "nothing is recorded inside run" in done.stdout
"""


@pytest.mark.parametrize("how", BOTH)
def test_run_inside_a_run_records_nothing(suite: Suite, how: str) -> None:
    """A pytest that a test starts inherits the options.

    On its parent's state it records nothing and says so, and its result is otherwise unchanged.
    """
    suite.environment["PYTEST_ADDOPTS"] = f"--migration-state={suite.path} --migration-complete"
    suite.write({"test_it.py": NESTED + BAD_B, "inner.py": GOOD_A})
    assert suite.run(how=how, recorded=False).status == FAILED
    assert suite.books == {"::test": "passed", "::test_b": "failed"}
    assert suite.phase == Phase.VALIDATION


# --- files that tests close or replace ----------------------------------------------------------------------

CLOSES = """
@component
def test_a():
    os.closerange(3, 200)
    global mine
    mine = [open(f"mine{number}", "w+") for number in range(30)]
@component
def test_b(): pass
@component
def test_c():
    assert [file.read() for file in mine] == [""] * 30
    for file in mine:
        file.write("x")
        file.close()
"""


@not_on_windows
def test_test_that_closes_every_file_loses_no_verdict(suite: Suite) -> None:
    """Nothing is written into files that reuse the plugin's descriptors, and no verdict is lost."""
    suite.write(CLOSES)
    assert suite.run("-p", "no:faulthandler", "--capture=sys", "--migration-complete").status == OK
    assert {path.name: path.read_text("utf-8") for path in suite.folder.glob("mine*")} == {
        f"mine{number}": "x" for number in range(30)
    }
    assert suite.tracker.verify().sound


def test_mocked_functions_lose_no_verdict(suite: Suite) -> None:
    """os.fstat and os.getpid are mocked for all tests of a module, and verdicts are recorded as usual."""
    mocked = """
from unittest import mock
@pytest.fixture(scope="module", autouse=True)
def mocked():
    status = os.stat_result([0] * 10)
    with mock.patch("os.fstat", return_value=status), mock.patch("os.getpid", return_value=1):
        yield
"""
    suite.write(
        f"{mocked}{GOOD_A}\n@component\ndef test_b():\n    time.sleep(1.2)\n    assert 0\n"
        "@component\ndef test_c(): pass"
    )
    suite.run()
    assert suite.books == {"::test_a": "passed", "::test_b": "failed", "::test_c": "passed"}


# --- a migration that is Completed --------------------------------------------------------------------------


@pytest.mark.parametrize("how", BOTH_DEEP)
def test_completed_migration_is_validated_again(suite: Suite, how: str) -> None:
    """On a Completed migration the tests run and are recorded.

    The exit status shows whether the gate is still open.
    """
    suite.write(f"{GOOD_A}\n{GOOD_B}")
    assert suite.run("--migration-complete", how=how).status == OK
    result = suite.run("--migration-complete", how=how)
    assert result.status == OK
    assert "the migration was in phase Completed before, and its gate is still open" in result.output
    suite.write(f"{GOOD_A}\n{BAD_B}")
    result = suite.run("--migration-complete", how=how)
    assert result.status == FAILED
    assert "the migration was in phase Completed before, and its gate is shut" in result.output
    assert suite.books == {"::test_a": "passed", "::test_b": "failed"}
    assert suite.phase == Phase.COMPLETED
    assert not suite.tracker.gate().open


def test_killed_run_does_not_undo_completion(suite: Suite) -> None:
    """It does not make a complete migration incomplete. A test that failed before the kill does."""
    suite.write(f"{GOOD_A}\n{GOOD_B}")
    assert suite.run("--migration-complete").status == OK
    suite.write(f"{GOOD_A}\n@component\ndef test_b(): os._exit(9)")
    suite.run()
    assert suite.books == {"::test_a": "passed", "::test_b": "passed, pending"}
    assert suite.tracker.gate().open
    assert suite.tracker.verify().sound


# --- files that hold no tests any more ----------------------------------------------------------------------

EMPTIED = [
    Steps(
        "a file that could not be collected and holds no tests now",
        {"test_it.py": GOOD_A, "test_b.py": "import no_such_module"},
        (
            (
                "--continue-on-collection-errors",
                FAILED,
                {"::test_a": "passed", "test_b.py": "collection_error"},
            ),
            ("", OK, {"::test_a": "passed"}),
        ),
        {"test_b.py": ""},
    ),
]


@steps_table(EMPTIED)
def test_file_without_tests_is_settled(suite: Suite, case: Steps, how: str) -> None:
    """A file that could be collected is settled, even if it contains no tests."""
    check_steps(suite, case, how)
