"""The gate: a pure function of the state and a policy."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_migration_state import InvalidArgumentError, Policy
from pytest_migration_state.domain.document import Document, new_document
from pytest_migration_state.domain.events import apply_effects
from pytest_migration_state.domain.gate import Context, evaluate
from pytest_migration_state.domain.run_events import outstanding

NOW = "2026-01-15T09:00:00.000Z"
EARLIER, LATER = "2026-01-15T08:59:59Z", "2026-01-15T09:00:00.0010000+00:00"
NODE = "tests/test_hive.py::test_health[a b]"


def verdict(test: str, *, passed: bool = True, component: str = "hive", **more: Any) -> dict[str, Any]:
    return {
        "component": component,
        "test_name": test,
        "passed": passed,
        "error_message": None,
        "tested_at": NOW,
        **more,
    }


def state(*verdicts: dict[str, Any], missing: list[dict[str, Any]] | None = None) -> Document:
    document = new_document(NOW, "id", "linux")
    for entry in missing or []:
        apply_effects(document, {"outstanding_validations": [entry]})
    for given in verdicts:
        # As another tool writes it: the outstanding validation is kept.
        document.verdicts[given["component"], given["test_name"]] = given
    return document


def _out(reason: str, **more: Any) -> dict[str, Any]:
    return {**outstanding(NOW, ("hive", "other"), reason), **more}


PASSED = verdict("t")
CASES: dict[str, tuple[Document, Policy | None, list[tuple[str, str | None, str | None]]]] = {
    "open": (state(PASSED), None, []),
    "no verdicts": (state(), None, [("no_verdicts", None, None)]),
    "failed": (state(verdict("t", passed=False)), None, [("failed", "hive", "t")]),
    "one failed of two": (state(PASSED, verdict("u", passed=False)), None, [("failed", "hive", "u")]),
    "xfailed": (state(verdict("t", passed=False, outcome="xfailed")), None, [("xfailed", "hive", "t")]),
    "xfailed allowed": (
        state(verdict("t", passed=False, outcome="xfailed")),
        Policy(allow=frozenset({"xfailed"})),
        [],
    ),
    "failed is never allowed": (
        state(verdict("t", passed=False)),
        Policy(allow=frozenset({"xfailed", "skipped", "deselected"})),
        [("failed", "hive", "t")],
    ),
    "pending": (state(PASSED, missing=[_out("pending")]), None, [("outstanding", "hive", "other")]),
    "deselected": (state(PASSED, missing=[_out("deselected")]), None, [("outstanding", "hive", "other")]),
    "skipped": (state(PASSED, missing=[_out("skipped")]), None, [("outstanding", "hive", "other")]),
    "collection error": (
        state(PASSED, missing=[_out("collection_error")]),
        None,
        [("outstanding", "hive", "other")],
    ),
    "skipped allowed": (state(PASSED, missing=[_out("skipped")]), Policy(allow=frozenset({"skipped"})), []),
    "deselected allowed": (
        state(PASSED, missing=[_out("deselected")]),
        Policy(allow=frozenset({"deselected"})),
        [],
    ),
    "deselected though skipped is allowed": (
        state(PASSED, missing=[_out("deselected")]),
        Policy(allow=frozenset({"skipped"})),
        [("outstanding", "hive", "other")],
    ),
    "pending is never allowed": (
        state(PASSED, missing=[_out("pending")]),
        Policy(allow=frozenset({"xfailed", "skipped", "deselected"})),
        [("outstanding", "hive", "other")],
    ),
    "settled by a newer verdict": (
        state(verdict("other", tested_at=LATER), missing=[_out("skipped")]),
        None,
        [],
    ),
    "not settled by an older verdict": (
        state(verdict("other", tested_at=EARLIER), missing=[_out("skipped")]),
        None,
        [("outstanding", "hive", "other")],
    ),
    "not settled by a verdict of the same moment": (
        state(verdict("other"), missing=[_out("skipped")]),
        None,
        [("outstanding", "hive", "other")],
    ),
    "not settled by a verdict without a time": (
        state(verdict("other", tested_at=None), missing=[_out("skipped")]),
        None,
        [("outstanding", "hive", "other")],
    ),
    "settled by a failure": (
        state(verdict("other", passed=False, tested_at=LATER), missing=[_out("pending")]),
        None,
        [("failed", "hive", "other")],
    ),
    "required and there": (state(PASSED), Policy(require=("hive",)), []),
    "required and failed": (
        state(verdict("t", passed=False)),
        Policy(require=("hive",)),
        [("failed", "hive", "t")],
    ),
    "required and missing": (
        state(PASSED),
        Policy(require=("hive", "worker")),
        [("missing_component", "worker", None)],
    ),
    "required and outstanding only": (
        state(PASSED, missing=[outstanding(NOW, ("worker", "u"), "skipped")]),
        Policy(require=("worker",), allow=frozenset({"skipped"})),
        [("missing_component", "worker", None)],
    ),
    "all at once": (
        state(
            verdict("a", passed=False),
            verdict("b", passed=False, outcome="xfailed"),
            missing=[_out("pending")],
        ),
        Policy(require=("worker",)),
        [
            ("failed", "hive", "a"),
            ("xfailed", "hive", "b"),
            ("outstanding", "hive", "other"),
            ("missing_component", "worker", None),
        ],
    ),
}


@pytest.mark.parametrize(("document", "policy", "expected"), CASES.values(), ids=CASES.keys())
def test_the_gate_reports_each_blocker(
    document: Document, policy: Policy | None, expected: list[tuple[str, str | None, str | None]]
) -> None:
    """Each kind of blocker, with a policy that allows it and one that does not."""
    result = evaluate(document, policy)
    assert expected == [(blocker.kind, blocker.component, blocker.test_name) for blocker in result.blockers]
    assert (not expected) == result.open


RUN = "run: pytest --migration-state='my state.json'"
FORGET = "if it no longer exists: migration-state forget -s 'my state.json' hive"
MESSAGES: dict[str, tuple[Document, Policy | None, str]] = {
    "no verdicts": (
        state(),
        None,
        "no validation has a verdict yet; run the marked tests: pytest --migration-state='my state.json'",
    ),
    "failed": (
        state(verdict(NODE, passed=False, error_message="exit status 3\nsecond line")),
        None,
        f"'{NODE}' of 'hive' failed: exit status 3 …; fix it, then {RUN} '{NODE}'",
    ),
    "failed, recorded by hand": (
        state(verdict("it starts", passed=False)),
        None,
        (
            "'it starts' of 'hive' failed; fix it, then check it and record what you see: "
            "migration-state result -s 'my state.json' hive 'it starts' --passed (or --failed)"
        ),
    ),
    "failed, with a name of its own": (
        state(verdict("health", passed=False, node_id="tests/test_hive.py::test_health")),
        None,
        f"'health' of 'hive' failed; fix it, then {RUN} tests/test_hive.py::test_health",
    ),
    "xfailed": (
        state(verdict(NODE, passed=False, outcome="xfailed")),
        None,
        f"'{NODE}' of 'hive' failed as its xfail mark expects; fix it and remove the mark, or allow 'xfailed'; then {RUN} '{NODE}'",
    ),
    "pending": (
        state(PASSED, missing=[outstanding(NOW, ("hive", "tests/test_x.py::t"), "pending")]),
        None,
        (
            "'tests/test_x.py::t' of 'hive' was selected to run and has no verdict; "
            f"{RUN} tests/test_x.py::t; {FORGET} tests/test_x.py::t --reason TEXT"
        ),
    ),
    "deselected": (
        state(PASSED, missing=[outstanding(NOW, ("hive", "tests/test_x.py::t"), "deselected")]),
        None,
        f"'tests/test_x.py::t' of 'hive' was deselected and has never run; {RUN} tests/test_x.py::t, or allow 'deselected'",
    ),
    "skipped": (
        state(PASSED, missing=[outstanding(NOW, ("hive", "tests/test_x.py::t"), "skipped", "needs network")]),
        None,
        (
            "'tests/test_x.py::t' of 'hive' was skipped (needs network); fix what it waits for, then "
            f"{RUN} tests/test_x.py::t, or allow 'skipped'; {FORGET} tests/test_x.py::t --reason TEXT"
        ),
    ),
    "collection error": (
        state(
            PASSED,
            missing=[
                outstanding(
                    NOW, ("(collection)", "tests/test_x.py"), "collection_error", "No module named 'y'"
                )
            ],
        ),
        None,
        (
            "tests/test_x.py could not be collected (No module named 'y'); fix it, then "
            f"{RUN} tests/test_x.py; if it no longer exists: migration-state forget -s 'my state.json' '(collection)' tests/test_x.py --reason TEXT"
        ),
    ),
    "missing component": (
        state(PASSED),
        Policy(require=("worker",)),
        "the required component 'worker' has no verdict; run its marked tests: pytest --migration-state='my state.json'",
    ),
    "hostile": (
        state(verdict("\x1b[2J", passed=False, error_message="::error::x\u202e")),
        None,
        (
            "'\\x1b[2J' of 'hive' failed: \\::error::x\\u202e; fix it, then check it and record what you see: "
            "migration-state result -s 'my state.json' hive '\\x1b[2J' --passed (or --failed)"
        ),
    ),
}


@pytest.mark.parametrize(("document", "policy", "expected"), MESSAGES.values(), ids=MESSAGES.keys())
def test_a_blocker_says_what_to_do(document: Document, policy: Policy | None, expected: str) -> None:
    """It names the problem and a command to copy, without control characters."""
    blockers = evaluate(document, policy, Context("my state.json")).blockers
    assert [expected] == [f"{blocker.message}; {blocker.fix}" for blocker in blockers]


def test_the_result_as_json() -> None:
    """What ``gate --json`` prints."""
    blocker = {
        "kind": "no_verdicts",
        "component": None,
        "test_name": None,
        "message": "no validation has a verdict yet",
        "fix": "run the marked tests: pytest --migration-state=STATE",
    }
    assert evaluate(state()).to_object() == {"open": False, "blockers": [blocker]}
    assert evaluate(state(PASSED)).to_object() == {"open": True, "blockers": []}


def test_an_unknown_reason_in_a_policy_is_refused() -> None:
    """Only three reasons can be allowed."""
    with pytest.raises(
        InvalidArgumentError,
        match="allow 'failed' cannot be used: it must be one of skipped, deselected, xfailed",
    ):
        Policy(allow=frozenset({"failed"}))
