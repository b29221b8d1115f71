"""The detail of a failed verdict: which text is kept, how it is cut, and what never costs the verdict."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from outcome_table import ATTEMPT, BOTH, BOTH_DEEP, PYTEST_9, not_on_windows
from recorded import ALONE, XDIST

from pytest_migration_state.recording.attempts import Attempt
from pytest_migration_state.recording.failure_detail import LIMIT, failure_detail

if TYPE_CHECKING:
    from recorded import Suite

SECRET = "s3cr3t-0f-the-run"


def report(longrepr: Any, *sections: tuple[Any, Any], when: Any = "call") -> pytest.TestReport:
    """Return a failed report."""
    return pytest.TestReport(
        "test_it.py::test", ("test_it.py", 0, "test"), {}, "failed", longrepr, when, sections, duration=1.0
    )


def lines(word: str, count: int) -> str:
    """Return numbered lines."""
    return "\n".join(f"{word} {number}" for number in range(count))


# --- the text -----------------------------------------------------------------------------------------------


def test_text_that_fits_is_kept_whole() -> None:
    """The traceback is followed by each section below its name; an empty section is left out."""
    found = report(
        "def test():\n>   assert 0\nE   assert 0",
        ("Captured stdout call", "printed\n  indented\n"),
        ("Captured stderr call", "\n"),
        ("Captured log call", "WARNING  root:test_it.py:3 é 🐝"),
    )
    assert failure_detail(found) == (
        "def test():\n>   assert 0\nE   assert 0\n"
        "--- Captured stdout call ---\nprinted\n  indented\n"
        "--- Captured log call ---\nWARNING  root:test_it.py:3 é 🐝"
    )


def test_output_takes_what_the_traceback_leaves() -> None:
    """A short traceback is kept whole, and the output is cut at a line start below its heading."""
    found = failure_detail(report("E   assert 0", ("Captured stdout call", lines("printed", 1000))))
    assert found is not None
    traceback, heading, mark, first, *_, last = found.splitlines()
    assert [traceback, heading, mark] == ["E   assert 0", "--- Captured stdout call ---", "[…]"]
    assert (first.startswith("printed "), last) == (True, "printed 999")
    assert LIMIT - 50 < len(found.encode()) <= LIMIT


def test_traceback_takes_what_the_output_leaves() -> None:
    """A short output is kept whole, and the end of the traceback has the rest."""
    found = failure_detail(report(lines("frame", 1000), ("Captured stderr call", "one line")))
    assert found is not None
    mark, first, *_, last, heading, output = found.splitlines()
    assert [mark, last] == ["[…]", "frame 999"]
    assert first.startswith("frame ")
    assert [heading, output] == ["--- Captured stderr call ---", "one line"]
    assert LIMIT - 50 < len(found.encode()) <= LIMIT


def test_each_has_half_where_neither_fits() -> None:
    """The end of the traceback and the end of the output are kept."""
    found = failure_detail(report(lines("frame", 1000), ("Captured log call", lines("log", 1000))))
    assert found is not None
    traceback, heading, output = found.partition("--- Captured log call ---\n")
    assert heading
    assert traceback.startswith("[…]\nframe ")
    assert traceback.endswith("\nframe 999\n")
    assert output.startswith("[…]\nlog ")
    assert output.endswith("\nlog 999")
    assert LIMIT // 2 - 50 < len(traceback.encode()) <= LIMIT // 2 + 1
    assert LIMIT - 100 < len(found.encode()) <= LIMIT


def test_last_sections_are_kept() -> None:
    """Sections are kept from the end, and a mark stands for those that have no room."""
    found = failure_detail(
        report(
            "E   assert 0",
            ("Captured stdout setup", lines("setup", 1000)),
            ("Captured stdout call", "x" * (LIMIT - 150)),
            ("Captured log call", "the last words"),
        )
    )
    assert found == (
        f"E   assert 0\n[…]\n--- Captured stdout call ---\n{'x' * (LIMIT - 150)}\n"
        "--- Captured log call ---\nthe last words"
    )


@pytest.mark.parametrize("wide", ["x", "é", "🐝", "\udc80", "x\n", "x\u2028"])
def test_detail_is_never_longer_than_4_kib(wide: str) -> None:
    """Bytes of UTF-8 count, headings and marks too, and no character is cut in two."""
    name = "é" * 300
    for count in (*range(1360, 1370), *range(2010, 2060), *range(4080, 4110), 9000):
        text = wide * count
        for found in (
            failure_detail(report(text)),
            failure_detail(report(text, ("Captured stdout call", text), (name, text))),
            failure_detail(report(None, ("Captured stdout call", text))),
        ):
            assert found is not None
            assert len(found.encode()) <= LIMIT
            assert "\ufffd" not in found


def test_long_line_is_cut_within() -> None:
    """A line that is longer than the room has no start to cut at."""
    assert failure_detail(report("x" * 9000)) == "[…]\n" + "x" * (LIMIT - len("[…]\n".encode()))


def test_terminal_sequences_are_left_out() -> None:
    """Colours, links, titles and other control characters are removed; each kind of line end stays one."""
    found = report(
        "\x1b[1m\x1b[31mE   assert\x1b[0m 0\r\nnext\rlast\x00\x08\x7f\x9b1m\ttab",
        (
            "Captured \x1b[1mstdout\ncall",
            "\x1b]0;title\x07a \x1b]8;;http://h\x1b\\link\x1b]8;;\x1b\\ \x1b(Bb\x1bPq\x1b\\c\x1b",
        ),
    )
    assert failure_detail(found) == ("E   assert 0\nnext\nlast\ttab\n--- Captured stdout … ---\na link bc")


@pytest.mark.parametrize("length", [LIMIT // 2, LIMIT, 130_000, 1_100_000])
def test_no_half_of_a_secret_is_kept(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    """Secrets are replaced before the text is cut, also where a colour splits one."""
    monkeypatch.setenv("DEPLOY_TOKEN", SECRET)
    split = f"{SECRET[:6]}\x1b[31m{SECRET[6:]}"
    for offset in range(0, 40, 3):
        text = f"{SECRET}{split}" * 2 + "x" * (length - offset)
        found = failure_detail(report(text, ("Captured stdout call", text)))
        assert found is not None
        assert not any(part in found for part in (SECRET[:4], SECRET[-4:]))


def test_20_megabytes_of_output_are_cut() -> None:
    """Only the end of a long text is looked at, and what is missing is marked."""
    found = failure_detail(report("E   assert 0", ("Captured stdout call", "printed\n" * 2_500_000)))
    assert found is not None
    assert found.startswith("E   assert 0\n--- Captured stdout call ---\n[…]\nprinted\n")
    assert LIMIT - 50 < len(found.encode()) <= LIMIT


# --- reports of any plugin ----------------------------------------------------------------------------------


class Unreadable:
    """An object without a text."""

    def __str__(self) -> str:
        raise OSError("no text")

    def __bool__(self) -> bool:
        raise OSError("no truth")


class Hostile:
    """A list of sections that cannot be read."""

    def __iter__(self) -> Any:
        raise OSError("no sections")


ODD: dict[str, tuple[Any, Any, str, str | None]] = {
    "a text": ("worker crashed", (), "worker crashed", "worker crashed"),
    "nothing": (None, (), "failed", None),
    "an empty text": ("", (), "failed", None),
    "white space": (" \n \t", (), "failed", None),
    "a tuple as of a skip": (("test_it.py", 3, "Skipped: no"), (), "no", "test_it.py\n3\nSkipped: no"),
    "a short tuple": (("one", "two"), (), "two", "one\ntwo"),
    "an empty tuple": ((), (), "failed", None),
    "an object without a text": (Unreadable(), (), "failed", None),
    "a tuple of such": (("f", 3, Unreadable()), (), "", "f\n3"),
    "a section without a text": (
        "E   x", [("a", Unreadable()), (Unreadable(), "b"), ("c", b"d")],
        "x", "E   x\n---  ---\nb\n--- c ---\nb'd'",
    ),
    "sections of another shape": ("E   x", ["ab", ("a", "b", "c")], "x", "E   x"),
    "sections that cannot be read": ("E   x", Hostile(), "x", "E   x"),
    "no sections": ("E   x", None, "x", "E   x"),
}  # fmt: skip


@pytest.mark.parametrize(("longrepr", "sections", "reason", "detail"), ODD.values(), ids=ODD.keys())
def test_any_report_has_a_verdict(longrepr: Any, sections: Any, reason: str, detail: str | None) -> None:
    """What a plugin put into a report never costs the verdict; a report without text has no detail."""
    odd = report(longrepr)
    odd.sections = sections
    attempt = Attempt()
    attempt.add(odd)
    assert ("failed", reason, detail, 1.0) == (
        attempt.outcome,
        attempt.reason,
        attempt.detail and attempt.detail.strip(),
        attempt.duration,
    )


# --- runs ---------------------------------------------------------------------------------------------------


def details(suite: Suite) -> dict[str, str | None]:
    """Return the detail of each verdict, by the test's name without its file."""
    return {
        verdict["test_name"].removeprefix("test_it.py::"): verdict.get("detail")
        for verdict in suite.document()["validation_results"]
    }


#: Every way to fail: each test says where it is to be found in the detail, and what must not be there.
FAILURES = """
import logging

@pytest.fixture
def service():
    print("service starts")
    yield
    print("service stops")
    raise OSError("not stopped")

@pytest.fixture
def broken():
    print("broken starts")
    raise OSError("no service")

@pytest.fixture
def marked_late(request):
    yield
    request.node.add_marker(component)

@component
def test_output():
    print("one é")
    print("\\x1b[31mtwo\\x1b[0m", file=sys.stderr)
    logging.warning("three")
    assert 1 == 2, "why"

@component
def test_setup(broken): pass

@component
def test_teardown(service): pass

@component
def test_call_and_teardown(service):
    print("called")
    assert not "in the call"

def test_marked_in_teardown(marked_late):
    print("before the mark")
    assert not "before the mark"

@component
@pytest.mark.xfail(strict=True, reason="OPS-7")
def test_xpass(): pass

@component
def test_reason_alone(): pytest.fail("a reason alone", pytrace=False)

@component
class TestOld(unittest.TestCase):
    def test_old(self): self.assertEqual({"a": 1}, {"a": 2})

@component
def test_good(): print("nobody reads this")

@component
@pytest.mark.xfail(reason="known")
def test_known(): assert 0

@component
def test_skip(): pytest.skip("not here")
"""

#: The beginning and the end of a test's detail, and a line of it.
EXPECTED: dict[str, tuple[str, str, str]] = {
    "test_output": (
        "@component\n    def test_output():",
        "--- Captured log call ---\nWARNING  root:test_it.py:28 three",
        "E       AssertionError: why\nE       assert 1 == 2",
    ),
    "test_setup": (
        "@pytest.fixture\n    def broken():",
        "E       OSError: no service\n\ntest_it.py:17: OSError\n--- Captured stdout setup ---\nbroken starts",
        ">       raise OSError",
    ),
    "test_teardown": (
        "@pytest.fixture\n    def service():",
        "--- Captured stdout setup ---\nservice starts\n--- Captured stdout teardown ---\nservice stops",
        "E       OSError: not stopped",
    ),
    "test_call_and_teardown": (
        "service = None",
        "--- Captured stdout setup ---\nservice starts\n--- Captured stdout call ---\ncalled",
        "E       AssertionError: assert not 'in the call'",
    ),
    "test_marked_in_teardown": (
        "marked_late = None",
        "--- Captured stdout call ---\nbefore the mark",
        "E       AssertionError: assert not 'before the mark'",
    ),
    "test_xpass": ("[XPASS(strict)] OPS-7", "OPS-7", ""),
    "test_reason_alone": ("a reason alone", "a reason alone", ""),
    "TestOld::test_old": ("self = <test_it.TestOld testM", "AssertionError", "{'a': 1} != {'a': 2}"),
}  # fmt: skip


@pytest.mark.parametrize("how", BOTH)
def test_detail_is_that_of_the_recorded_reason(suite: Suite, how: str) -> None:
    """The report that decides has its traceback and its output kept; other verdicts have no such key."""
    suite.write(FAILURES)
    suite.run("--color=yes", how=how)
    found = details(suite)
    without = {name for name, detail in found.items() if detail is None}
    assert ({"test_good", "test_known"}, set(EXPECTED)) == (without, found.keys() - without)
    for name, (beginning, end, line) in EXPECTED.items():
        detail = found[name]
        assert detail is not None
        assert (name, True, True, True) == (
            name, detail.startswith(beginning), detail.endswith(end), line in detail
        )  # fmt: skip
    assert "--- Captured stdout call ---\none é\n--- Captured stderr call ---\ntwo\n" in str(
        found["test_output"]
    )
    assert suite.tracker.verify().problems == ()


@pytest.mark.parametrize("how", BOTH_DEEP)
@pytest.mark.skipif(not PYTEST_9, reason="the subtests fixture came with pytest 9")
def test_detail_of_a_subtest(suite: Suite, how: str) -> None:
    """Of several failed subtests the first one counts, as for the reason."""
    suite.write("""
        @component
        def test(subtests):
            for n in range(3):
                with subtests.test(n=n): assert n < 1
    """)
    suite.run(how=how)
    (verdict,) = suite.document()["validation_results"]
    assert (
        verdict["error_message"],
        "assert 1 < 1" in verdict["detail"],
        "assert 2 < 1" in verdict["detail"],
    ) == ("assert 1 < 1", True, False)


@pytest.mark.parametrize("how", BOTH_DEEP)
def test_detail_of_the_final_attempt(suite: Suite, how: str) -> None:
    """A rerun that fails again has its own detail; one that passes has none."""
    suite.write(f"""
        {ATTEMPT.replace(chr(10), chr(10) + " " * 8)}
        @component
        def test_bad():
            number = attempt("bad")
            print(f"attempt {{number}}")
            raise OSError(f"failed {{number}}")
        @component
        def test_flaky(): assert attempt("flaky") == 2
    """)
    suite.run("-p", "pytest_rerunfailures", "--reruns=2", how=how)
    found = details(suite)
    assert found.keys() == {"test_bad", "test_flaky"}
    detail = found["test_bad"]
    assert detail is not None
    assert detail.endswith("--- Captured stdout call ---\nattempt 3")
    assert "OSError: failed 3" in detail
    assert "failed 1" not in detail
    assert found["test_flaky"] is None


def test_detail_of_a_crashed_worker(suite: Suite) -> None:
    """All that is known is which worker crashed, and where."""
    suite.write("@component\ndef test(): os._exit(3)")
    suite.run(how=XDIST)
    (detail,) = details(suite).values()
    assert detail in {
        f"worker '{worker}' crashed while running 'test_it.py::test'" for worker in ("gw0", "gw1")
    }


@not_on_windows
@pytest.mark.parametrize("how", BOTH_DEEP)
def test_detail_of_a_timeout(suite: Suite, how: str) -> None:
    """It says where the test was when its time was over."""
    suite.write("""
        @component
        @pytest.mark.timeout(1)
        def test():
            print("waiting")
            time.sleep(60)
    """)
    suite.run("-p", "pytest_timeout", how=how)
    detail = details(suite)["test"]
    assert detail is not None
    assert ">       time.sleep(60)\nE       Failed: Timeout" in detail
    assert "--- Captured stdout call ---\nwaiting" in detail


def test_detail_where_every_worker_runs_each_test(suite: Suite) -> None:
    """With --dist=each it is the detail of the worker whose result counts."""
    suite.write("""
        @component
        def test(worker_id):
            assert worker_id != "gw1", "not on this one"
    """)
    suite.run("--dist=each", how=XDIST)
    assert "AssertionError: not on this one" in str(details(suite)["test"])


#: Options that change what a report holds, with the detail's first line; and whether it has the output.
OPTIONS: dict[str, tuple[str, bool]] = {
    "--tb=no": ("E   AssertionError: why", True),
    "--tb=line": ("E   AssertionError: why", True),
    "--tb=native": ("Traceback (most recent call last):", True),
    "--tb=short": ("test_it.py:7: in test", True),
    "-s": ("@component", False),
    "-p no:logging": ("@component", True),
    "--show-capture=no": ("@component", True),
}


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("how", [ALONE, XDIST])
@pytest.mark.parametrize("options", OPTIONS)
def test_options_of_pytest(suite: Suite, options: str, how: str) -> None:
    """The detail is what the report holds, whatever pytest prints of it."""
    beginning, has_output = OPTIONS[options]
    suite.write('@component\ndef test():\n    print("said")\n    assert 1 == 2, "why"')
    suite.run(*options.split(), how=how)
    detail = str(details(suite)["test"])
    # Python's own traceback names every file of pytest, and may be cut where the paths are long.
    assert detail.splitlines()[0] in ({beginning, "[…]"} if "native" in options else {beginning})
    assert "AssertionError: why" in detail
    assert has_output is ("--- Captured stdout call ---\nsaid" in detail)


def test_colours_forced_by_the_environment_are_left_out(suite: Suite) -> None:
    """FORCE_COLOR colours the text of every report."""
    suite.environment["FORCE_COLOR"] = "1"
    suite.write("@component\ndef test():\n    assert 1 == 2")
    suite.run()
    (detail,) = details(suite).values()
    assert detail is not None
    assert ("\x1b" in detail, "E       assert 1 == 2" in detail) == (False, True)


@pytest.mark.parametrize("error", ["OSError('no text')", "UnicodeEncodeError('ascii', 'x', 0, 1, 'no text')"])
def test_failure_without_a_text_has_its_verdict(suite: Suite, error: str) -> None:
    """A report whose text raises is recorded as failed, with the output that it has."""
    suite.write({
        "conftest.py": f"""
            class Unreadable:
                def __str__(self): raise {error}

            @pytest.hookimpl(wrapper=True)
            def pytest_runtest_makereport():
                report = yield
                if report.failed:
                    report.longrepr = Unreadable()
                return report
        """,
        "test_it.py": "@component\ndef test():\n    print('said')\n    assert 0",
    })  # fmt: skip
    suite.run()
    (verdict,) = suite.document()["validation_results"]
    assert (
        verdict["passed"],
        verdict["error_message"],
        verdict["detail"],
    ) == (False, "failed", "--- Captured stdout call ---\nsaid")


@pytest.mark.parametrize("how", BOTH)
def test_secrets_are_never_stored(suite: Suite, how: str) -> None:
    """Neither the detail nor a message or a reason has a secret of the environment, a URL or a header."""
    suite.environment |= {"DEPLOY_TOKEN": SECRET, "db_password": "hunter2-hunter2"}
    suite.write(f"""
        url = "postgres://app:in-the-url@db/app"
        @component
        def test_call():
            print(url, "Authorization: Bearer in-the-header")
            assert os.environ["DEPLOY_TOKEN"] == "{SECRET}!"
        @component
        @pytest.mark.xfail(raises=OSError, reason=f"{{url}} is down")
        def test_xfail(): raise OSError
        @component
        def test_skip(): pytest.skip(os.environ["db_password"])
        @pytest.fixture
        def marked_late(request):
            yield
            request.node.add_marker(component)
        def test_late(marked_late): raise OSError(os.environ["db_password"])
    """)
    suite.run(how=how)
    found = details(suite)
    messages = {
        verdict["test_name"].removeprefix("test_it.py::"): verdict["error_message"]
        for verdict in suite.document()["validation_results"]
    }
    assert "postgres://app:***@db/app Authorization: Bearer ***" in str(found["test_call"])
    assert messages["test_call"].splitlines()[0] == "AssertionError: assert '***' == '***!'"
    assert (
        messages["test_xfail"],
        messages["test_late"],
    ) == ("postgres://app:***@db/app is down", "OSError: ***")
    written = suite.path.read_text("utf-8") + suite.tracker.audit_log_path.read_text("utf-8")
    secrets = (SECRET, "hunter2", "in-the-url", "in-the-header")
    assert [secret for secret in secrets if secret in written] == []


def test_result_of_a_worker_is_redacted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The controller may know secrets that are not in the environment of a worker on another machine."""
    before = Attempt()
    before.add(report(f"E   OSError: {SECRET}", ("Captured stdout call", SECRET)))
    monkeypatch.setenv("DEPLOY_TOKEN", SECRET)
    found = Attempt.continued(dataclasses.asdict(before))
    assert (
        found.outcome,
        found.reason,
        found.detail,
    ) == ("failed", "OSError: ***", "E   OSError: ***\n--- Captured stdout call ---\n***")


def test_secret_that_a_test_sets_is_not_stored(suite: Suite) -> None:
    """The environment is read when the failure is reported: before the fixture takes the secret back."""
    suite.write("""
        @component
        def test(monkeypatch):
            monkeypatch.setenv("API_KEY", "set-in-" + "the-test")
            raise OSError(os.environ["API_KEY"])
    """)
    suite.run()
    (verdict,) = suite.document()["validation_results"]
    assert verdict["error_message"] == "OSError: ***"
    assert "set-in-the-test" not in suite.path.read_text("utf-8")
