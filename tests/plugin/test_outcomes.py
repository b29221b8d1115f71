"""The recorded outcome of a test, however the test, its worker or its run ends: the table of the promises.

Each case is a suite, the way it is run, and the expected content of the state: the verdict (``passed``,
``failed``, ``xfailed``) or the reason why a validation is outstanding (``pending``, ``skipped``,
``deselected``, ``collection_error``). Validations are named as in :func:`recorded.in_short`. After every run
the move to Completed is attempted: it must be refused unless every recorded validation is passed.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from outcome_table import (
    ATTEMPT,
    BAD_B,
    BREAKS_IN_TEARDOWN,
    FAILED,
    GOOD_A,
    GOOD_B,
    INTERNAL_ERROR,
    INTERRUPTED,
    NO_TESTS,
    OK,
    PYTEST_9,
    USAGE_ERROR,
    Case,
    Steps,
    check,
    check_steps,
    not_on_windows,
    steps_table,
    table,
)
from recorded import ALONE, XDIST

if TYPE_CHECKING:
    from recorded import Suite

pytestmark = pytest.mark.quick_cases(2)

# --- 1. ordinary outcomes -----------------------------------------------------------------------------------

DOCTEST = {
    "conftest.py": """
        def pytest_migration_component(item):
            if item.name.startswith("shop."):
                return "guardian-hive"
    """,
    "shop.py": '''
        def good():
            """
            >>> 1 + 1
            2
            """
        def bad():
            """
            >>> 1 + 1
            3
            """
    ''',
}

YAML = {
    "conftest.py": """
        class Check(pytest.Item):
            def runtest(self):
                assert self.name != "bad"
            def repr_failure(self, excinfo):
                return f"{self.name} is not as it should be"
            def reportinfo(self):
                return self.path, 0, self.name

        class Checks(pytest.File):
            def collect(self):
                for line in self.path.read_text().splitlines():
                    check = Check.from_parent(self, name=line.removeprefix("- "))
                    check.add_marker(component)
                    yield check

        def pytest_collect_file(file_path, parent):
            if file_path.suffix == ".yaml":
                return Checks.from_parent(parent, path=file_path)
    """,
    "checks.yaml": "- good\n- bad\n",
}

ORDINARY = [
    Case("a function passes", "@component\ndef test(): pass", OK, {"::test": "passed"}),
    Case("a function fails", "@component\ndef test(): assert 0", FAILED, {"::test": "failed"}),
    Case(
        "an error in setup",
        """
        @pytest.fixture
        def broken(): raise OSError("no service")
        @component
        def test(broken): pass
        """,
        FAILED,
        {"::test": "failed"},
        says=("setup: OSError: no service",),
    ),
    Case(
        "an error in teardown",
        """
        @pytest.fixture
        def broken():
            yield
            raise OSError("not stopped")
        @component
        def test(broken): pass
        """,
        FAILED,
        {"::test": "failed"},
        says=("teardown: OSError: not stopped",),
    ),
    Case(
        "methods of a class",
        """
        @component
        class TestIt:
            def test_good(self): pass
            def test_bad(self): assert 0
        """,
        FAILED,
        {"::TestIt::test_good": "passed", "::TestIt::test_bad": "failed"},
    ),
    Case(
        "an error in setup_method",
        """
        @component
        class TestIt:
            def setup_method(self): raise OSError
            def test(self): pass
        """,
        FAILED,
        {"::TestIt::test": "failed"},
    ),
    Case(
        "parametrized",
        """
        @component
        @pytest.mark.parametrize("n", [1, 2, pytest.param(3, marks=pytest.mark.skip)])
        def test(n): assert n == 1
        """,
        FAILED,
        {"::test[1]": "passed", "::test[2]": "failed", "::test[3]": "skipped"},
    ),
    Case(
        "unittest",
        """
        @component
        class TestIt(unittest.TestCase):
            def test_good(self): pass
            def test_bad(self): self.fail()
            @unittest.expectedFailure
            def test_known(self): self.fail()
            @unittest.expectedFailure
            def test_mended(self): pass
        """,
        FAILED,
        {
            "::TestIt::test_good": "passed",
            "::TestIt::test_bad": "failed",
            "::TestIt::test_known": "xfailed",
            "::TestIt::test_mended": "failed",
        },
    ),
    Case(
        "unittest, error in setUpClass",
        """
        @component
        class TestIt(unittest.TestCase):
            @classmethod
            def setUpClass(cls): raise OSError
            def test(self): pass
        """,
        FAILED,
        {"::TestIt::test": "failed"},
    ),
    Case(
        "unittest, error in tearDown",
        """
        @component
        class TestIt(unittest.TestCase):
            def tearDown(self): raise OSError
            def test(self): pass
        """,
        FAILED,
        {"::TestIt::test": "failed"},
    ),
    Case(
        "unittest, a subTest fails and pytest calls the test passed",
        """
        @component
        class TestIt(unittest.TestCase):
            def test_bad(self):
                for n in range(3):
                    with self.subTest(n=n): self.assertNotEqual(n, 1)
            def test_good(self):
                with self.subTest(): pass
        """,
        FAILED,
        {"::TestIt::test_bad": "failed", "::TestIt::test_good": "passed"},
    ),
    Case("doctests named by the hook", DOCTEST, FAILED,
        {"shop.py::shop.good": "passed", "shop.py::shop.bad": "failed"}, "--doctest-modules"),
    Case(
        "items of another plugin",
        YAML,
        FAILED,
        {"checks.yaml::good": "passed", "checks.yaml::bad": "failed"},
        says=("bad is not as it should be",),
    ),
    Case(
        "an unmarked test that fails is not recorded",
        "@component\ndef test(): pass\ndef test_other(): assert 0",
        FAILED,
        {"::test": "passed"},
    ),
    Case("only unmarked tests: the gate stays shut", "def test(): pass", OK, {}, says=("no_verdicts",)),
    Case("no tests at all", "", NO_TESTS, {}),
]  # fmt: skip

SUBTESTS = [
    Case(
        "subtests, one fails",
        """
        @component
        def test(subtests):
            for n in range(3):
                with subtests.test(n=n): assert n != 1
        """,
        FAILED,
        {"::test": "failed"},
    ),
    Case(
        "subtests, all pass",
        """
        @component
        def test(subtests):
            with subtests.test(): pass
        """,
        OK,
        {"::test": "passed"},
    ),
    Case(
        "subtests, one is skipped",
        """
        @component
        def test(subtests):
            with subtests.test(): pytest.skip("not here")
            with subtests.test(): pass
        """,
        OK,
        {"::test": "skipped"},
        says=("not here",),
    ),
    Case(
        "subtests, one is xfailed",
        """
        @component
        def test(subtests):
            with subtests.test(): pytest.xfail("known")
        """,
        OK,
        {"::test": "xfailed"},
    ),
    Case(
        "subtests, the test dies after one that passed",
        """
        @component
        def test(subtests):
            with subtests.test(): pass
            pytest.exit("that is all", returncode=0)
        """,
        FAILED,
        {"::test": "pending"},
        how=(ALONE,),
    ),
]


@table(ORDINARY, together="")
def test_verdict_is_the_worst_phase_of_a_test(suite: Suite, case: Case, how: str) -> None:
    """The verdict is the worst of setup, call, teardown and subtests."""
    check(suite, case, how)


@pytest.mark.skipif(not PYTEST_9, reason="the subtests fixture came with pytest 9")
@table(SUBTESTS, together="")
def test_subtests_count_for_their_test(suite: Suite, case: Case, how: str) -> None:
    """The result of a subtest counts for its test."""
    check(suite, case, how)


# --- skips --------------------------------------------------------------------------------------------------

SKIPS = [
    Case("mark", '@component\n@pytest.mark.skip(reason="later")\ndef test(): pass', OK, {"::test": "skipped"},
        says=("later",)),
    Case("condition", '@component\n@pytest.mark.skipif(True, reason="later")\ndef test(): pass', OK,
        {"::test": "skipped"}),
    Case(
        "in setup",
        """
        @pytest.fixture
        def service(): pytest.skip("not up")
        @component
        def test(service): pass
        """,
        OK,
        {"::test": "skipped"},
        says=("not up",),
    ),
    Case("in the call", '@component\ndef test(): pytest.skip("not up")', OK, {"::test": "skipped"}),
    Case("importorskip in the call", '@component\ndef test(): pytest.importorskip("no_such_module")', OK,
        {"::test": "skipped"}),
    Case(
        "in teardown, after the call passed",
        """
        @pytest.fixture
        def service():
            yield
            pytest.skip("could not see whether it stopped")
        @component
        def test(service): pass
        """,
        OK,
        {"::test": "skipped"},
    ),
    Case(
        "in teardown, after the call failed",
        """
        @pytest.fixture
        def service():
            yield
            pytest.skip("could not see whether it stopped")
        @component
        def test(service): assert 0
        """,
        FAILED,
        {"::test": "failed"},
    ),
    Case("a class", "@component\n@pytest.mark.skip\nclass TestIt:\n    def test(self): pass", OK,
        {"::TestIt::test": "skipped"}),
    Case(
        "a module, by a mark",
        "pytestmark = [component, pytest.mark.skip]\ndef test(): pass",
        OK,
        {"::test": "skipped"},
    ),
    Case(
        "a module as a whole",
        {"test_it.py": "@component\ndef test(): pass",
            "test_other.py": 'pytest.skip("not here", allow_module_level=True)'},
        OK,
        {"::test": "passed", "test_other.py": "skipped"},
        says=("test_other.py was skipped (not here)",),
    ),
    Case(
        "a module that misses an import",
        {"test_it.py": "@component\ndef test(): pass",
            "test_other.py": 'pytest.importorskip("no_such_module")'},
        OK,
        {"::test": "passed", "test_other.py": "skipped"},
    ),
    Case(
        "a collector of another plugin",
        {
            "conftest.py": """
                class Checks(pytest.File):
                    def collect(self): pytest.skip("no checks here")
                def pytest_collect_file(file_path, parent):
                    if file_path.suffix == ".yaml":
                        return Checks.from_parent(parent, path=file_path)
            """,
            "checks.yaml": "",
            "test_it.py": "@component\ndef test(): pass",
        },
        OK,
        {"::test": "passed", "checks.yaml": "skipped"},
    ),
    Case(
        "unittest in every place",
        """
        @component
        class TestIt(unittest.TestCase):
            def test_raises(self): raise unittest.SkipTest("not up")
            def test_calls(self): self.skipTest("not up")
            @unittest.skip("not up")
            def test_is_marked(self): pass
        @component
        class TestSetUp(unittest.TestCase):
            def setUp(self): raise unittest.SkipTest("not up")
            def test(self): pass
        @component
        class TestSetUpClass(unittest.TestCase):
            @classmethod
            def setUpClass(cls): raise unittest.SkipTest("not up")
            def test(self): pass
        @component
        @unittest.skip("not up")
        class TestClass(unittest.TestCase):
            def test(self): pass
        @component
        class TestSubTest(unittest.TestCase):
            def test(self):
                with self.subTest(): self.skipTest("not up")
        """,
        OK,
        {
            "::TestIt::test_raises": "skipped",
            "::TestIt::test_calls": "skipped",
            "::TestIt::test_is_marked": "skipped",
            "::TestSetUp::test": "skipped",
            "::TestSetUpClass::test": "skipped",
            "::TestClass::test": "skipped",
            "::TestSubTest::test": "skipped",
        },
    ),
    Case(
        "no parameters",
        '@component\n@pytest.mark.parametrize("n", [])\ndef test(n): pass',
        OK,
        {"::test[NOTSET]" if PYTEST_9 else "::test[n0]": "skipped"},
    ),
]  # fmt: skip


@table(SKIPS, deep=(XDIST,), together="")
def test_skipped_test_has_no_verdict(suite: Suite, case: Case, how: str) -> None:
    """A skipped test has no verdict, wherever it was skipped."""
    check(suite, case, how)


# --- expected failures --------------------------------------------------------------------------------------

XFAIL = [
    Case("fails", '@component\n@pytest.mark.xfail(reason="known")\ndef test(): assert 0', OK,
        {"::test": "xfailed"}, says=("xfailed: ",)),
    Case("fails, strict", "@component\n@pytest.mark.xfail(strict=True)\ndef test(): assert 0", OK,
        {"::test": "xfailed"}),
    Case("passes", "@component\n@pytest.mark.xfail\ndef test(): pass", OK, {"::test": "passed"}),
    Case("passes, strict", "@component\n@pytest.mark.xfail(strict=True)\ndef test(): pass", FAILED,
        {"::test": "failed"}),
    Case("in the call", '@component\ndef test(): pytest.xfail("known")', OK, {"::test": "xfailed"}),
    Case("not run", "@component\n@pytest.mark.xfail(run=False)\ndef test(): pass", OK, {"::test": "xfailed"}),
    Case(
        "fails with another error",
        "@component\n@pytest.mark.xfail(raises=KeyError)\ndef test(): raise OSError",
        FAILED,
        {"::test": "failed"},
    ),
    Case(
        "an error in setup",
        """
        @pytest.fixture
        def service(): raise OSError
        @component
        @pytest.mark.xfail
        def test(service): pass
        """,
        OK,
        {"::test": "xfailed"},
    ),
    Case(
        "fails, and an error in teardown that was not expected",
        BREAKS_IN_TEARDOWN + "@component\n@pytest.mark.xfail(raises=KeyError)\n"
        "def test(service): raise KeyError",
        FAILED,
        {"::test": "failed"},
    ),
    Case(
        "passes, and an error in teardown that pytest takes for the expected one",
        BREAKS_IN_TEARDOWN + "@component\n@pytest.mark.xfail\ndef test(service): pass",
        OK,
        {"::test": "xfailed"},
    ),
]  # fmt: skip


@table(XFAIL, deep=(XDIST,), together="")
def test_expected_failure_is_not_passed(suite: Suite, case: Case, how: str) -> None:
    """An expected failure is recorded as such, and not as passed.

    An unexpected pass is passed, unless the mark is strict.
    """
    check(suite, case, how)


# --- fixtures that fail at their end ------------------------------------------------------------------------


def wide(scope: str, *tests: str) -> str:
    """Return tests that share a fixture which fails when it is torn down."""
    fixture = (
        f'@pytest.fixture(scope="{scope}", autouse=True)\ndef service():\n    yield\n'
        '    raise OSError("not stopped")\n'
    )
    return fixture + "\n".join(tests)


WIDE_FIXTURES = [
    Case("of the module", wide("module", GOOD_A, GOOD_B), FAILED,
        {"::test_a": "passed", "::test_b": "failed"}, how=(ALONE,)),
    Case("of the session", wide("session", GOOD_A, GOOD_B), FAILED,
        {"::test_a": "passed", "::test_b": "failed"}, how=(ALONE,)),
    Case(
        "of the module, one file a worker",
        wide("module", GOOD_A, GOOD_B),
        FAILED,
        {"::test_a": "passed", "::test_b": "failed"},
        "--dist loadfile",
        (XDIST,),
    ),
    Case("of the session, on each worker", wide("session", GOOD_A, GOOD_B), FAILED,
        {"::test_a": "failed", "::test_b": "failed"}, how=(XDIST,)),
    Case(
        "of the session, stopped by -x before",
        wide("session", GOOD_A, BAD_B, "@component\ndef test_c(): pass"),
        FAILED,
        {"::test_a": "passed", "::test_b": "failed", "::test_c": "pending"},
        "-x",
        (ALONE,),
    ),
    Case(
        "of the module, -x at its end",
        wide("module", GOOD_A, GOOD_B),
        FAILED,
        {"::test_a": "passed", "::test_b": "failed"},
        "-x",
        (ALONE,),
    ),
    Case(
        "of a class",
        """
        class TestIt:
            @pytest.fixture(scope="class", autouse=True)
            def service(self):
                yield
                raise OSError
            @component
            def test_a(self): pass
            @component
            def test_b(self): pass
        @component
        def test_c(): pass
        """,
        FAILED,
        {"::TestIt::test_a": "passed", "::TestIt::test_b": "failed", "::test_c": "passed"},
        how=(ALONE,),
    ),
    Case(
        "unittest, tearDownClass",
        """
        @component
        class TestIt(unittest.TestCase):
            @classmethod
            def tearDownClass(cls): raise OSError
            def test_a(self): pass
            def test_b(self): pass
        """,
        FAILED,
        {"::TestIt::test_a": "passed", "::TestIt::test_b": "failed"},
        how=(ALONE,),
    ),
]  # fmt: skip


@table(WIDE_FIXTURES)
def test_failing_teardown_fails_the_test_before_it(suite: Suite, case: Case, how: str) -> None:
    """A fixture that fails in its teardown fails the test after which it was torn down."""
    check(suite, case, how)


# --- 2. reruns ----------------------------------------------------------------------------------------------

RERUNS = "-p rerunfailures --reruns 2"
RERUN = [
    Case(
        "passes at last",
        ATTEMPT + '@component\ndef test(): assert attempt("a") == 3',
        OK,
        {"::test": "passed on attempt 3"},
        RERUNS,
        says=("flaky: 'test_it.py::test' of 'guardian-hive' passed on attempt 3",),
    ),
    Case(
        "never passes", "@component\ndef test(): assert 0", FAILED, {"::test": "failed on attempt 3"}, RERUNS
    ),
    Case("passes at once", "@component\ndef test(): pass", OK, {"::test": "passed"}, RERUNS),
    Case(
        "in setup",
        ATTEMPT
        + '@pytest.fixture\ndef service(): assert attempt("a") == 2\n@component\ndef test(service): pass',
        OK,
        {"::test": "passed on attempt 2"},
        RERUNS,
    ),
    Case(
        "in teardown",
        ATTEMPT
        + (
            '@pytest.fixture\ndef service():\n    yield\n    assert attempt("a") == 2\n@component\n'
            "def test(service): pass"
        ),
        OK,
        {"::test": "passed on attempt 2"},
        RERUNS,
    ),
    Case(
        "in teardown, never passes",
        BREAKS_IN_TEARDOWN + "@component\ndef test(service): pass",
        FAILED,
        {"::test": "failed on attempt 3"},
        RERUNS,
    ),
    Case(
        "a subTest fails in the last attempt alone",
        ATTEMPT
        + """
@component
class TestIt(unittest.TestCase):
    def test(self):
        first = attempt("a") == 1
        with self.subTest(): assert first
        assert not first
""",
        FAILED,
        {"::TestIt::test": "failed on attempt 2" if PYTEST_9 else "failed on attempt 3"},
        RERUNS,
    ),
    Case(
        "skipped at last",
        ATTEMPT
        + '@component\ndef test():\n    if attempt("a") == 2: pytest.skip("not any more")\n    assert 0',
        OK,
        {"::test": "skipped"},
        RERUNS,
    ),
    # Delay the crash: a message of pytest-rerunfailures that names the test must reach its controller first.
    Case(
        "the worker crashes, and the test passes on another",
        ATTEMPT + '@component\ndef test():\n    if attempt("a") == 1: time.sleep(0.3); os._exit(1)',
        OK,
        {"::test": "passed on attempt 2"},
        RERUNS,
        (XDIST,),
    ),
    Case(
        "the worker crashes each time",
        "@component\ndef test(): time.sleep(0.3); os._exit(1)",
        FAILED,
        {"::test": "failed on attempt 3"},
        RERUNS,
        (XDIST,),
    ),
]
SUBTEST_RERUN = [
    Case(
        "a subtest fails in the first attempt alone",
        ATTEMPT
        + '@component\ndef test(subtests):\n    n = attempt("a")\n    with subtests.test(): assert n == 2',
        OK,
        {"::test": "passed on attempt 2"},
        RERUNS,
    ),
    Case(
        "a subtest always fails",
        "@component\ndef test(subtests):\n    with subtests.test(): assert 0",
        FAILED,
        {"::test": "failed on attempt 3"},
        RERUNS,
    ),
]


@table(RERUN, together=RERUNS)
def test_final_attempt_is_the_verdict(suite: Suite, case: Case, how: str) -> None:
    """The final attempt is the verdict, and a pass after a rerun says so."""
    check(suite, case, how)


@pytest.mark.skipif(not PYTEST_9, reason="the subtests fixture came with pytest 9")
@table(SUBTEST_RERUN, together=RERUNS)
def test_subtests_of_repeated_attempts_do_not_count(suite: Suite, case: Case, how: str) -> None:
    """The subtests of a repeated attempt do not count."""
    check(suite, case, how)


# --- 3. tests and runs that end early -----------------------------------------------------------------------


#: A test that passes, one that ends its run in some way, and one that is never started.
def ended(statement: str) -> str:
    return f"{GOOD_A}\n@component\ndef test_b(): {statement}\n@component\ndef test_c(): pass"


STOPPED = {"::test_a": "passed", "::test_b": "pending", "::test_c": "pending"}
LOST_ONE = {"::test_a": "passed", "::test_b": "failed", "::test_c": "passed"}
SIGNAL = "-p timeout --timeout=1 --timeout-method=signal"
THREAD = "-p timeout --timeout=1 --timeout-method=thread"
SLOW_FIXTURE = "@pytest.fixture\ndef service():\n    yield\n    time.sleep(20)\n"

ENDS = [
    Case("timeout by a signal", ended("time.sleep(20)"), FAILED, LOST_ONE, SIGNAL),
    Case("timeout by a thread", ended("time.sleep(20)"), FAILED, STOPPED, THREAD, (ALONE,)),
    Case("timeout by a thread, on a worker", ended("time.sleep(20)"), FAILED, LOST_ONE, THREAD, (XDIST,)),
    Case(
        "timeout in teardown",
        SLOW_FIXTURE + "@component\ndef test(service): pass",
        FAILED,
        {"::test": "failed"},
        SIGNAL,
    ),
    Case("sys.exit", ended("sys.exit(0)"), FAILED, LOST_ONE),
    # The exit status of a killed process cannot be changed, but the gate stays shut.
    Case("os._exit(0)", ended("os._exit(0)"), 0, STOPPED, how=(ALONE,)),
    Case("os._exit(3)", ended("os._exit(3)"), 3, STOPPED, how=(ALONE,), deep=True),
    Case("os._exit on a worker", ended("os._exit(0)"), FAILED, LOST_ONE, how=(XDIST,)),
    Case("pytest.exit", ended("pytest.exit('enough')"), INTERRUPTED, STOPPED, how=(ALONE,)),
    Case(
        "pytest.exit with 0",
        ended("pytest.exit('enough', returncode=0)"),
        FAILED,
        STOPPED,
        how=(ALONE,),
        says=("2 selected validations did not run to the end and have no verdict",),
    ),
    Case("pytest.exit with 3", ended("pytest.exit('enough', returncode=3)"), 3, STOPPED, how=(ALONE,),
        deep=True),
    Case("pytest.exit with 256", ended("pytest.exit('enough', returncode=256)"), FAILED, STOPPED,
        how=(ALONE,), deep=True),
    Case("pytest.exit in setup",
        "@pytest.fixture\ndef s(): pytest.exit('', returncode=0)\n@component\ndef test(s): pass", FAILED,
        {"::test": "pending"}, how=(ALONE,)),
    Case("pytest.exit in teardown",
        "@pytest.fixture\ndef s():\n    yield\n    pytest.exit('', returncode=0)\n@component\n"
        "def test(s): pass",
        FAILED, {"::test": "pending"}, how=(ALONE,)),
    Case("KeyboardInterrupt", ended("raise KeyboardInterrupt"), INTERRUPTED, STOPPED, how=(ALONE,)),
    Case("-x", ended("assert 0"), FAILED, {"::test_a": "passed", "::test_b": "failed", "::test_c": "pending"},
        "-x", (ALONE,)),
    Case(
        "--maxfail",
        "@component\n@pytest.mark.parametrize('n', range(4))\ndef test(n): assert 0",
        FAILED,
        {"::test[0]": "failed", "::test[1]": "failed", "::test[2]": "pending", "::test[3]": "pending"},
        "--maxfail=2",
        (ALONE,),
    ),
]  # fmt: skip

SIGNALS = [
    Case("SIGTERM", ended("os.kill(os.getpid(), 15); time.sleep(20)"), -15, STOPPED, how=(ALONE,)),
    Case("SIGKILL", ended("os.kill(os.getpid(), 9); time.sleep(20)"), -9, STOPPED, how=(ALONE,)),
    Case("SIGINT", ended("os.kill(os.getpid(), 2); time.sleep(20)"), INTERRUPTED, STOPPED, how=(ALONE,)),
    Case("SIGINT of the controller", ended("os.kill(os.getppid(), 2); time.sleep(3)"), INTERRUPTED, STOPPED,
        "-n1", (ALONE,), deep=True),
    Case("SIGTERM of the controller", ended("os.kill(os.getppid(), 15); time.sleep(3)"), -15, STOPPED, "-n1",
        (ALONE,), deep=True),
    Case("SIGKILL of the controller", ended("os.kill(os.getppid(), 9); time.sleep(3)"), -9, STOPPED, "-n1",
        (ALONE,)),
    Case("SIGKILL of a worker", ended("os.kill(os.getpid(), 9); time.sleep(20)"), FAILED, LOST_ONE,
        how=(XDIST,)),
    Case(
        "a process that the test forked goes on",
        """
        @component
        def test_a():
            if os.fork() == 0:
                assert 0
            os.wait()
        @component
        def test_b(): pass
        """,
        OK,
        {"::test_a": "passed", "::test_b": "passed"},
        how=(ALONE,),
    ),
    Case(
        "a process that the test forked ends",
        """
        @component
        def test():
            if os.fork() == 0:
                os._exit(1)
            os.wait()
        """,
        OK,
        {"::test": "passed"},
    ),
]  # fmt: skip


def breaking(hook: str, body: str = "raise RuntimeError('broken plugin')") -> dict[str, str]:
    """Return a suite of two tests whose conftest contains a hook that breaks."""
    return {"conftest.py": f"def {hook}:\n    {body}", "test_it.py": f"{GOOD_A}\n{GOOD_B}"}


ON_B = "if report.nodeid.endswith('test_b') and report.when == 'call': raise RuntimeError('broken plugin')"
HALF = {"::test_a": "passed", "::test_b": "pending"}
DONE = {"::test_a": "passed", "::test_b": "passed"}

BROKEN_PLUGINS = [
    Case(
        "in makereport",
        breaking("pytest_runtest_makereport(item, call)",
            "if item.name == 'test_b': raise RuntimeError('broken plugin')"),
        INTERNAL_ERROR,
        HALF,
        how=(ALONE,),
    ),
    Case("in logreport", breaking("pytest_runtest_logreport(report)", ON_B), INTERNAL_ERROR, HALF,
        how=(ALONE,)),
    Case("in sessionfinish", breaking("pytest_sessionfinish()"), FAILED, DONE, how=(ALONE,),
        says=("the session did not end well",)),
    Case(
        "exit 0 in sessionfinish",
        {**breaking("pytest_sessionfinish()", "pytest.exit('', returncode=0)"),
            "test_it.py": ended("pytest.exit('', returncode=0)")},
        FAILED,
        STOPPED,
        how=(ALONE,),
    ),
    Case(
        "sys.exit(0) in sessionfinish",
        {**breaking("pytest_sessionfinish()", "sys.exit(0)"),
            "test_it.py": ended("pytest.exit('', returncode=0)")},
        FAILED,
        STOPPED,
        how=(ALONE,),
        deep=True,
    ),
    Case(
        "sets the exit status to 0",
        {**breaking("pytest_sessionfinish(session)", "session.exitstatus = 0"),
            "test_it.py": ended("pytest.exit('', returncode=3)")},
        FAILED,
        STOPPED,
        how=(ALONE,),
    ),
    Case("in modifyitems", breaking("pytest_collection_modifyitems()"), INTERNAL_ERROR, {}, how=(ALONE,)),
    Case(
        "exit 0 in modifyitems",
        breaking("pytest_collection_modifyitems()", "pytest.exit('', returncode=0)"),
        FAILED,
        {},
        how=(ALONE,),
        says=("the run ended before it was known which tests it would run",),
    ),
    Case("exit 0 in sessionstart", breaking("pytest_sessionstart()", "pytest.exit('', returncode=0)"), FAILED,
        {}, how=(ALONE,)),
    Case("on a worker, in makereport", breaking("pytest_runtest_makereport(item, call)"),
        (FAILED, INTERNAL_ERROR), {"::test_a": "pending", "::test_b": "pending"}, how=(XDIST,)),
    Case("on the controller, in logreport",
        breaking("pytest_runtest_logreport(report)", "if hasattr(report, 'node'): raise RuntimeError"),
        INTERNAL_ERROR, {"::test_a": "pending", "::test_b": "pending"}, how=(XDIST,)),
    Case("a test that never reports",
        breaking("pytest_runtest_protocol(item)", "return item.name == 'test_b' or None"), FAILED, HALF),
]  # fmt: skip


@table(ENDS)
def test_unfinished_test_has_no_verdict(suite: Suite, case: Case, how: str) -> None:
    """A test that did not end has no verdict, and a run that left one out does not end with 0."""
    check(suite, case, how)


@not_on_windows
@table(SIGNALS)
def test_signals_leave_no_false_verdict(suite: Suite, case: Case, how: str) -> None:
    """A signal may end a test, a worker or a run. A forked process counts as none of these."""
    check(suite, case, how)


@table(BROKEN_PLUGINS)
def test_broken_plugins_leave_no_false_pass(suite: Suite, case: Case, how: str) -> None:
    """Whatever another plugin breaks, no test that did not run completely is recorded as passed."""
    check(suite, case, how)


# --- 4. xdist -----------------------------------------------------------------------------------------------

MIXED = {
    "test_it.py": f"{GOOD_A}\n{BAD_B}",
    "test_more.py": '@component\n@pytest.mark.parametrize("n", range(3))\ndef test(n): assert n != 1',
}
MIXED_BOOKS = {
    "::test_a": "passed",
    "::test_b": "failed",
    "test_more.py::test[0]": "passed",
    "test_more.py::test[1]": "failed",
    "test_more.py::test[2]": "passed",
}
WORKER = 'worker = os.environ.get("PYTEST_XDIST_WORKER")\n'
EACH = "--dist each --tx 2*popen"

DISTRIBUTION = [
    *(
        Case(f"--dist {mode}", MIXED, FAILED, MIXED_BOOKS, f"--dist {mode}", (XDIST,), deep=mode != "load")
        for mode in ("load", "loadscope", "loadfile", "loadgroup", "worksteal")
    ),
    Case(
        "--dist loadgroup, with groups",
        '@component\n@pytest.mark.xdist_group("one")\n@pytest.mark.parametrize("n", range(3))\n'
        'def test(n): assert n != 1',
        FAILED,
        {"::test[0]": "passed", "::test[1]": "failed", "::test[2]": "passed"},
        "--dist loadgroup",
        (XDIST,),
        # The command that runs it again names the test without the group.
        says=("migration-state.json 'test_it.py::test[1]'; if it",),
    ),
    Case("--dist each", f"{GOOD_A}\n{GOOD_B}", OK, DONE, EACH, (ALONE,)),
    Case(
        "--dist each, fails on one worker",
        WORKER + f"{GOOD_A}\n@component\ndef test_b(): assert worker != 'gw1'",
        FAILED,
        {"::test_a": "passed", "::test_b": "failed"},
        EACH,
        (ALONE,),
    ),
    *(
        Case(
            f"--dist each, a validation on {here} alone, fails on {there}",
            WORKER + f"mark = component if worker == '{here}' else lambda test: test\n{GOOD_A}\n@mark\n"
            f"def test_b(): assert worker != '{there}'",
            FAILED,
            {"::test_a": "passed", "::test_b": "failed"},
            EACH,
            (ALONE,),
            deep=here == "gw1",
        )
        for here, there in (("gw0", "gw1"), ("gw1", "gw0"))
    ),
    Case(
        "--dist each, skipped on one worker",
        WORKER + f"{GOOD_A}\n@component\ndef test_b():\n    if worker == 'gw0': pytest.skip('not here')",
        OK,
        {"::test_a": "passed", "::test_b": "skipped"},
        EACH,
        (ALONE,),
    ),
    Case(
        "--dist each, one worker crashes",
        WORKER + ended("worker == 'gw1' and os._exit(1)"),
        FAILED,
        LOST_ONE,
        EACH,
        (ALONE,),
    ),
    Case(
        "--dist each, one worker crashes and is not replaced",
        WORKER + ended("worker == 'gw1' and os._exit(1)"),
        FAILED,
        {"::test_a": "passed", "::test_b": "failed", "::test_c": "pending"},
        f"{EACH} --max-worker-restart=0",
        (ALONE,),
    ),
    Case(
        "--dist each, a rerun on one worker",
        WORKER + ATTEMPT + "@component\ndef test(): assert worker == 'gw0' or attempt('a') == 2",
        OK,
        {"::test": "passed on attempt 2"},
        f"{EACH} {RERUNS}",
        (ALONE,),
        deep=True,
    ),
    Case(
        "--dist each, a rerun on one worker and a failure on the other",
        WORKER + ATTEMPT + "@component\ndef test():\n    if worker == 'gw0': time.sleep(1); assert 0\n"
        "    assert attempt('a') == 2",
        FAILED,
        {"::test": "failed on attempt 3"},
        f"{EACH} {RERUNS}",
        (ALONE,),
    ),
    Case("-n0", MIXED, FAILED, MIXED_BOOKS, "-n0", (ALONE,), deep=True),
    Case("--maxprocesses", MIXED, FAILED, MIXED_BOOKS, "--maxprocesses=1", (XDIST,), deep=True),
    Case("--tx, two of one", MIXED, FAILED, MIXED_BOOKS, "--dist load --tx 2*popen", (ALONE,), deep=True),
    Case("--tx, two specifications", MIXED, FAILED, MIXED_BOOKS,
        "--dist load --tx popen --tx popen//id=second", (ALONE,), deep=True),
    Case("-x", "@component\n@pytest.mark.parametrize('n', range(2))\ndef test(n): assert 0",
        (FAILED, INTERRUPTED), {"::test[0]": "failed", "::test[1]": "pending"}, "-n1 -x", (ALONE,),
        deep=True),
    Case(
        "--maxfail",
        "@component\n@pytest.mark.parametrize('n', range(3))\ndef test(n): assert 0",
        (FAILED, INTERRUPTED),
        {"::test[0]": "failed", "::test[1]": "failed", "::test[2]": "pending"},
        "-n1 --maxfail=2",
        (ALONE,),
        deep=True,
    ),
]  # fmt: skip

CRASHED = {"::test_a": "passed", "::test_b": "failed", "::test_c": "pending"}

CRASHES = [
    Case("in setup", "@pytest.fixture\ndef s(): os._exit(1)\n@component\ndef test(s): pass", FAILED,
        {"::test": "failed"}, how=(XDIST,), says=("crashed while running",)),
    Case("in teardown",
        "@pytest.fixture\ndef s():\n    yield\n    os._exit(1)\n@component\ndef test(s): pass", FAILED,
        {"::test": "failed"}, how=(XDIST,)),
    Case("in the call, not replaced", ended("os._exit(1)"), FAILED, CRASHED, "-n1 --max-worker-restart=0",
        (ALONE,)),
    Case("in an unmarked test", f"{GOOD_A}\ndef test_other(): os._exit(1)", FAILED, {"::test_a": "passed"},
        how=(XDIST,)),
    Case(
        "before it collects, and is replaced",
        {"conftest.py": WORKER + "if worker == 'gw1': os._exit(1)", "test_it.py": GOOD_A},
        OK,
        {"::test_a": "passed"},
        how=(XDIST,),
    ),
    Case(
        "before they collect, all of them",
        {"conftest.py": WORKER + "if worker: os._exit(1)", "test_it.py": GOOD_A},
        (FAILED, INTERNAL_ERROR, NO_TESTS),
        {},
        "--max-worker-restart=1",
        (XDIST,),
    ),
    # xdist treats a worker that ends in this way as crashed.
    Case("pytest.exit on a worker", ended("pytest.exit('enough')"), INTERRUPTED, CRASHED, "-n1", (ALONE,),
        deep=True),
    Case("KeyboardInterrupt on a worker", ended("raise KeyboardInterrupt"), INTERRUPTED, CRASHED, "-n1",
        (ALONE,), deep=True),
    Case("pytest.exit with 0 on a worker", ended("pytest.exit('enough', returncode=0)"),
        (FAILED, INTERNAL_ERROR), STOPPED, "-n1", (ALONE,)),
    Case(
        "different collections",
        WORKER + f"{GOOD_A}\nif worker == 'gw1':\n    @component\n    def test_b(): pass",
        FAILED,
        {"::test_a": "pending", "::test_b": "pending"},
        how=(XDIST,),
    ),
    Case(
        "one worker cannot collect a file",
        {"test_it.py": WORKER + f"assert worker != 'gw0'\n{GOOD_A}"},
        (FAILED, INTERRUPTED),
        {"::test_a": "pending", "test_it.py": "collection_error"},
        how=(XDIST,),
    ),
    Case(
        "one worker cannot collect a file, --dist each",
        {"test_it.py": WORKER + f"assert worker != 'gw0'\n{GOOD_A}"},
        FAILED,
        {"::test_a": "passed", "test_it.py": "collection_error"},
        EACH,
        (ALONE,),
        deep=True,
    ),
]  # fmt: skip

SURROGATE = r"'a lone surrogate: \udc80'"

MESSAGES = [
    Case("a lone surrogate", ended(f"pytest.fail({SURROGATE})"), FAILED, LOST_ONE,
        says=("failed: Failed: a lone surrogate: \\udc80\n    -> fix it",)),
    Case(
        "a lone surrogate in a warning",
        ended(f"import warnings; warnings.warn({SURROGATE}); warnings.warn(DeprecationWarning({SURROGATE}, "
        "1)); assert 0"),
        FAILED,
        LOST_ONE,
    ),
    Case("a lone surrogate in the output", ended(f"print({SURROGATE}); assert 0"), FAILED, LOST_ONE),
    Case("a lone surrogate in the reason of a skip", f"@component\ndef test(): pytest.skip({SURROGATE})", OK,
        {"::test": "skipped"}),
    Case("a lone surrogate in a name",
        f"@component\n@pytest.mark.parametrize('n', [{SURROGATE}])\ndef test(n): pass", OK,
        {r"::test[a lone surrogate: \udc80]": "passed"}),
    Case("a lone surrogate in a component",
        r"@pytest.mark.migration_component('\udc80')" + "\ndef test(): assert 0", FAILED,
        {r"\udc80: test_it.py::test": "failed"}),
    Case("20 MB", ended("pytest.fail('x' * 20_000_000)"), FAILED, LOST_ONE, "--tb=no", deep=True),
    Case("NUL and escape sequences", ended(r"pytest.fail('\0\x1b[2J')"), FAILED, LOST_ONE,
        says=(r"\x00\x1b[2J",)),
    *(
        Case(
            f"a property that is {what}",
            ended(f"request.node.user_properties.append(('p', {value})); assert 0")
                .replace("b()", "b(request)"),
            FAILED,
            LOST_ONE,
            how=(XDIST,),
        )
        for what, value in {
            "an object": "object()",
            "a lone surrogate": SURROGATE,
            "a set": "{1}",
            "a kind of text": "type('Text', (str,), {})('x')",
            "a kind of number": "type('Number', (int,), {})(1)",
            "a number with 200 digits": "10**200",
            "a number with 5,000 digits": "10**5_000",
            "a negative number": "-(10**10)",
            "an object that cannot be shown": "type('Broken', (), {'__repr__': None})()",
            "a dict of sets": "{frozenset({1}): object()}",
            "nested without end": "(lambda a: (a.extend([a, a]), a)[1])([])",
            "nested deeply": "__import__('functools').reduce(lambda a, _: [a], range(900), [])",
        }.items()
    ),
    *(
        Case(
            f"on a report: {what}",
            {
                "conftest.py": "@pytest.hookimpl(wrapper=True)\ndef pytest_runtest_makereport():\n"
                f"    report = yield\n    {statement}\n    return report",
                "test_it.py": f"{GOOD_A}\n{BAD_B}",
            },
            FAILED,
            {"::test_a": "passed", "::test_b": "failed"},
        )
        for what, statement in {
            "an object": "report.thing = object()",
            "a section": f"report.sections.append(('log', {SURROGATE}))",
            "a message that is no text": "report.longrepr = report.longrepr and object()",
        }.items()
    ),
]  # fmt: skip


@table(DISTRIBUTION)
def test_controller_records_each_test_once(suite: Suite, case: Case, how: str) -> None:
    """However tests are distributed, the controller records each once.

    With --dist each, it records the worst result of all workers.
    """
    check(suite, case, how)


@table(CRASHES)
def test_crash_fails_only_the_running_test(suite: Suite, case: Case, how: str) -> None:
    """A worker's crash is a failure of the test that it was running, and of no other."""
    check(suite, case, how)


STRANGE_FILE = {"test_\udc80.py": "@component\ndef test(): assert 0"}

FILE_NAMES = [
    Case("no UTF-8", STRANGE_FILE, FAILED, {r"test_\udc80.py::test": "failed"}, how=(ALONE,)),
    # xdist cannot send such a name, and stops.
    Case("no UTF-8, on a worker", STRANGE_FILE, INTERNAL_ERROR, {}, how=(XDIST,), deep=True),
]


@table(MESSAGES, deep=(XDIST,), together="")
def test_any_message_leaves_the_verdict_recorded(suite: Suite, case: Case, how: str) -> None:
    """Whatever a test says or attaches, its verdict is recorded."""
    check(suite, case, how)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
@table(FILE_NAMES)
def test_any_file_name_is_recorded(suite: Suite, case: Case, how: str) -> None:
    """A file name may contain characters that text must not contain."""
    check(suite, case, how)


# --- 5. selection -------------------------------------------------------------------------------------------


TWO = f"{GOOD_A}\n{GOOD_B}"
ONE_BAD = f"{GOOD_A}\n{BAD_B}"
A_AND_DESELECTED = {"::test_a": "passed", "::test_b": "deselected"}
ONE_BAD_BOOKS = {"::test_a": "passed", "::test_b": "failed"}
TWO_FILES = {"test_it.py": GOOD_A, "test_more.py": BAD_B}
REMOVES = {
    "conftest.py": """
        def pytest_addoption(parser): parser.addoption("--only-a", action="store_true")
        def pytest_collection_modifyitems(config, items):
            if config.option.only_a: items[:] = [item for item in items if item.name == "test_a"]
    """,
    "test_it.py": TWO,
}
DOUBLES = {
    "conftest.py": "def pytest_collection_modifyitems(items): items += items",
    "test_it.py": ATTEMPT + "@component\ndef test(): assert attempt('a') == 2",
}

SELECTION = [
    Steps("-k", TWO, (("-k test_a", OK, A_AND_DESELECTED),)),
    Steps("-m", f"{GOOD_A}\n@pytest.mark.filterwarnings('error')\n{GOOD_B}",
        (("-m not(filterwarnings)", OK, A_AND_DESELECTED),), deep=True),
    Steps("--deselect", TWO, (("--deselect test_it.py::test_b", OK, A_AND_DESELECTED),), deep=True),
    Steps("a conftest that removes items", REMOVES, (("--only-a", OK, A_AND_DESELECTED),)),
    Steps("everything deselected", TWO,
        (("-k nothing", NO_TESTS, {"::test_a": "deselected", "::test_b": "deselected"}),)),
    Steps("-k, then the rest", TWO, (("-k test_a", OK, A_AND_DESELECTED), ("-k test_b", OK, DONE))),
    Steps("what an earlier run said stays when it is deselected", ONE_BAD,
        (("", FAILED, ONE_BAD_BOOKS), ("-k test_a", OK, ONE_BAD_BOOKS))),
    Steps("a path", TWO_FILES,
        (("", FAILED, {"::test_a": "passed", "test_more.py::test_b": "failed"}),
         ("test_it.py", OK, {"::test_a": "passed", "test_more.py::test_b": "failed"}))),
    Steps("a path, nothing known of the other", TWO_FILES, (("test_it.py", OK, {"::test_a": "passed"}),)),
    Steps("--ignore", TWO_FILES,
        (("", FAILED, {"::test_a": "passed", "test_more.py::test_b": "failed"}),
         ("--ignore test_more.py", OK, {"::test_a": "passed", "test_more.py::test_b": "failed"}))),
    Steps("a node id", ONE_BAD, (("", FAILED, ONE_BAD_BOOKS), ("test_it.py::test_a", OK, ONE_BAD_BOOKS))),
    Steps("a node id, fixed", ONE_BAD, (("", FAILED, ONE_BAD_BOOKS), ("test_it.py::test_b", OK, DONE)),
        {"test_it.py": TWO}),
    Steps("a path twice", TWO, (("test_it.py test_it.py", OK, DONE),), deep=True),
    Steps("a node id and its file", TWO, (("test_it.py::test_a test_it.py", OK, DONE),), deep=True),
    Steps("--lf", ONE_BAD, (("", FAILED, ONE_BAD_BOOKS), ("--lf", FAILED, ONE_BAD_BOOKS)), deep=True),
    Steps("--lf, fixed", ONE_BAD, (("", FAILED, ONE_BAD_BOOKS), ("--lf", OK, DONE)), {"test_it.py": TWO}),
    Steps("--ff", ONE_BAD,
        (("", FAILED, ONE_BAD_BOOKS), ("--ff -x", FAILED, {"::test_b": "failed", "::test_a": "pending"})),
        deep=True),
    Steps("--nf", TWO_FILES, (("--nf", FAILED, {"::test_a": "passed", "test_more.py::test_b": "failed"}),),
        deep=True),
    Steps(
        "--sw",
        f"{BAD_B}\n{GOOD_A}",
        (("--sw", INTERRUPTED, {"::test_b": "failed", "::test_a": "pending"}), ("--sw", OK, DONE)),
        {"test_it.py": f"{GOOD_B}\n{GOOD_A}"},
    ),
    Steps("run again and killed: the old verdict is gone",
        ATTEMPT + "@component\ndef test(): attempt('a') == 2 and os._exit(0)",
        (("", OK, {"::test": "passed"}), ("", OK, {"::test": "pending"}))),
    Steps("passed, then skipped", ATTEMPT + "@component\ndef test(): attempt('a') == 2 and pytest.skip('')",
        (("", OK, {"::test": "passed"}), ("", OK, {"::test": "skipped"}))),
    Steps("failed, then fixed", BAD_B,
        (("", FAILED, {"::test_b": "failed"}), ("", OK, {"::test_b": "passed"})), {"test_it.py": GOOD_B}),
    Steps("a plugin runs a test twice: the worse counts", DOUBLES, (("", FAILED, {"::test": "failed"}),)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("case", "how"),
    [
        pytest.param(case, ALONE, id=case.id, marks=[pytest.mark.deep] if case.deep else [])
        for case in SELECTION
    ],
)
def test_unselected_test_is_outstanding(suite: Suite, case: Steps, how: str) -> None:
    """A collected test that is not selected is outstanding. Earlier recorded results are kept."""
    check_steps(suite, case, how)


@pytest.mark.parametrize(
    ("case", "how"),
    [
        pytest.param(case, XDIST, id=case.id, marks=[] if case.id == "--lf" else [pytest.mark.deep])
        for case in SELECTION
        if case.id in {"-k", "a conftest that removes items", "--lf", "a node id, fixed"}
    ],
)
def test_unselected_test_on_workers_is_outstanding(suite: Suite, case: Steps, how: str) -> None:
    """The workers select, and the controller records the selection."""
    check_steps(suite, case, how)


# --- 6. collection errors -----------------------------------------------------------------------------------

BROKEN = {"test_it.py": GOOD_A, "test_broken.py": "import no_such_module"}
BROKEN_FOLDER = {"test_it.py": GOOD_A, "sub/conftest.py": "import no_such_module", "sub/test_sub.py": GOOD_B}

#: In one process pytest stops at a collection error; on xdist's workers it continues.
STOPS, GOES_ON = (ALONE,), (XDIST,)

COLLECTION = [
    Steps("an import error", BROKEN,
        (("", INTERRUPTED, {"::test_a": "pending", "test_broken.py": "collection_error"}),), how=STOPS),
    Steps("an import error", BROKEN,
        (("", FAILED, {"::test_a": "passed", "test_broken.py": "collection_error"}),), how=GOES_ON),
    Steps("an import error, and on", BROKEN,
        (("--continue-on-collection-errors", FAILED,
          {"::test_a": "passed", "test_broken.py": "collection_error"}),), deep=True),
    Steps("a syntax error", {"test_it.py": "def"},
        (("", (FAILED, INTERRUPTED), {"test_it.py": "collection_error"}),), deep=True),
    Steps("a test that cannot be parametrized",
        "@component\n@pytest.mark.parametrize('n', [1])\ndef test(): pass",
        (("", (FAILED, INTERRUPTED), {"test_it.py": "collection_error"}),), deep=True),
    Steps("a conftest in the root", {"conftest.py": "import no_such_module", "test_it.py": GOOD_A},
        (("", USAGE_ERROR, {}),)),
    Steps("a conftest in a folder", BROKEN_FOLDER,
        (("", INTERRUPTED, {"::test_a": "pending", "sub": "collection_error"}),), how=STOPS),
    Steps("a conftest in a folder", BROKEN_FOLDER,
        (("", FAILED, {"::test_a": "passed", "sub": "collection_error"}),), how=GOES_ON),
    Steps(
        "a hook that collects",
        {"conftest.py": "def pytest_collect_directory(): raise RuntimeError", "sub/test_sub.py": GOOD_A},
        (("", (FAILED, INTERRUPTED), {".": "collection_error"}),),
    ),
    Steps(
        "fixed",
        BROKEN,
        (
            ("--continue-on-collection-errors", FAILED,
                {"::test_a": "passed", "test_broken.py": "collection_error"}),
            ("", OK, {"::test_a": "passed", "test_broken.py::test_b": "passed"}),
        ),
        {"test_broken.py": GOOD_B},
    ),
    Steps(
        "a conftest in a folder, fixed",
        {"sub/conftest.py": "import no_such_module", "sub/test_sub.py": GOOD_B},
        (("", (FAILED, INTERRUPTED), {"sub": "collection_error"}),
            ("", OK, {"sub/test_sub.py::test_b": "passed"})),
        {"sub/conftest.py": ""},
        how=(ALONE,),
    ),
    Steps(
        "not collected again",
        BROKEN,
        (
            ("--continue-on-collection-errors", FAILED,
                {"::test_a": "passed", "test_broken.py": "collection_error"}),
            ("test_it.py", OK, {"::test_a": "passed", "test_broken.py": "collection_error"}),
        ),
        how=(ALONE,),
    ),
    Steps(
        "a test that passed before stays, behind the error of its file",
        GOOD_A,
        (("", OK, {"::test_a": "passed"}),
            ("", (FAILED, INTERRUPTED), {"::test_a": "passed", "test_it.py": "collection_error"})),
        {"test_it.py": "import no_such_module"},
        how=(ALONE,),
    ),
    Steps(
        "skipped as a whole, then collected",
        {"test_it.py": "pytest.skip('later', allow_module_level=True)"},
        (("", NO_TESTS, {"test_it.py": "skipped"}), ("", OK, {"::test_a": "passed"})),
        {"test_it.py": GOOD_A},
        how=(ALONE,),
    ),
    Steps(
        "--lf does not look at it",
        {"test_it.py": BAD_B, "test_other.py": "pytest.skip('later', allow_module_level=True)"},
        (("", FAILED, {"::test_b": "failed", "test_other.py": "skipped"}),
            ("--lf", OK, {"::test_b": "passed", "test_other.py": "skipped"})),
        {"test_it.py": GOOD_B},
        how=(ALONE,),
    ),
]  # fmt: skip


@steps_table(COLLECTION)
def test_uncollected_file_is_outstanding(suite: Suite, case: Steps, how: str) -> None:
    """A file that could not be collected is outstanding until it is collected."""
    check_steps(suite, case, how)
