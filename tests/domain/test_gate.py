"""The gate: a pure function of the state and a policy."""

from __future__ import annotations

from itertools import product
from typing import Any, get_args

import pytest

from pytest_migration_state import InvalidArgumentError, InvalidTransitionError, Policy
from pytest_migration_state.domain.document import Document, new_document
from pytest_migration_state.domain.events import apply_effects
from pytest_migration_state.domain.gate import Context, completion_in_words, evaluate
from pytest_migration_state.domain.operations import set_phase
from pytest_migration_state.domain.phases import Phase
from pytest_migration_state.domain.policy import COLLECTION
from pytest_migration_state.domain.run_events import outstanding
from pytest_migration_state.domain.schema import REASONS
from pytest_migration_state.types import JsonObject, Liveness

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
    apply_effects(document, {"phase": "Validation"})
    for entry in missing or []:
        apply_effects(document, {"outstanding_validations": [entry]})
    for given in verdicts:
        # As another tool writes it: the outstanding validation is kept.
        document.verdicts[given["component"], given["test_name"]] = given
    return document


def with_processes(document: Document, *processes: dict[str, Any]) -> Document:
    """The document, with processes of component ``hive``."""
    document.fields["native_processes_started"] = [{"name": "hive", **process} for process in processes]
    return document


def without_log(document: Document) -> Document:
    """The document, after its log was deleted."""
    document.note_lost_entries("the audit log is gone: entries 1 to 5 are missing")
    return document


def _out(reason: str, **more: Any) -> dict[str, Any]:
    return {**outstanding(NOW, ("hive", "other"), reason), **more}


PASSED = verdict("t")
STALE = verdict("t", stale_since=NOW)
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
    "lost entries": (without_log(state(PASSED)), None, [("log", None, None)]),
    "lost entries, and no verdict": (
        without_log(state()),
        Policy(allow=["skipped", "deselected", "xfailed", "stale"]),
        [("log", None, None), ("no_verdicts", None, None)],
    ),
    "stale": (state(STALE), None, [("stale", "hive", "t")]),
    "stale allowed": (state(STALE), Policy(allow=["stale"]), []),
    "stale and failed": (
        state(verdict("t", passed=False, stale_since=NOW)),
        None,
        [("failed", "hive", "t")],
    ),
    "stale and failed, though stale is allowed": (
        state(verdict("t", passed=False, stale_since=NOW)),
        Policy(allow=["stale"]),
        [("failed", "hive", "t")],
    ),
    "stale and xfailed, which is allowed": (
        state(verdict("t", passed=False, outcome="xfailed", stale_since=NOW)),
        Policy(allow=["xfailed"]),
        [("stale", "hive", "t")],
    ),
    "stale and outstanding": (
        state(STALE, missing=[_out("skipped")]),
        None,
        [("stale", "hive", "t"), ("outstanding", "hive", "other")],
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
    """Each kind of blocker is reported under a policy that does not allow it, and only then."""
    result = evaluate(document, policy)
    assert expected == [(blocker.kind, blocker.component, blocker.test_name) for blocker in result.blockers]
    assert (not expected) == result.open


RUN = "run: pytest --migration-state='my state.json'"
GONE = "if it no longer exists: migration-state forget -s 'my state.json' hive"
REASON = "--reason TEXT"
FORGET = "if it no longer exists: migration-state forget -s 'my state.json' hive"
MESSAGES: dict[str, tuple[Document, Policy | None, str]] = {
    "no verdicts": (
        state(),
        None,
        "no validation has a verdict yet; run the marked tests: pytest --migration-state='my state.json'",
    ),
    "lost entries": (
        without_log(state(PASSED)),
        None,
        (
            "the audit log is gone: entries 1 to 5 are missing; restore the log from a copy if nothing was "
            "recorded since, or accept the state without them: "
            "migration-state accept -s 'my state.json' --by WHO --reason TEXT"
        ),
    ),
    "failed": (
        state(verdict(NODE, passed=False, error_message="exit status 3\nsecond line")),
        None,
        f"'{NODE}' of 'hive' failed: exit status 3 …; fix it, then {RUN} '{NODE}'; {GONE} '{NODE}' {REASON}",
    ),
    "failed, recorded by hand": (
        state(verdict("it starts", passed=False)),
        None,
        (
            "'it starts' of 'hive' failed; fix it, then check it and record what you see: "
            "migration-state result -s 'my state.json' hive 'it starts' --passed (or --failed); "
            f"{GONE} 'it starts' {REASON}"
        ),
    ),
    "failed, with a name of its own": (
        state(verdict("health", passed=False, node_id="tests/test_hive.py::test_health")),
        None,
        (
            f"'health' of 'hive' failed; fix it, then {RUN} tests/test_hive.py::test_health; "
            f"{GONE} health {REASON}"
        ),
    ),
    "xfailed": (
        state(verdict(NODE, passed=False, outcome="xfailed")),
        None,
        (
            f"'{NODE}' of 'hive' failed as its xfail mark expects; fix it and remove the mark, or "
            f"allow 'xfailed'; then {RUN} '{NODE}'; {GONE} '{NODE}' {REASON}"
        ),
    ),
    "stale": (
        with_processes(state(verdict(NODE, stale_since=NOW)), {"process_id": 111}, {"process_id": 222}),
        None,
        (
            f"'{NODE}' of 'hive' was validated before its process 222 was started; {RUN} '{NODE}', or "
            f"allow 'stale'; {GONE} '{NODE}' {REASON}"
        ),
    ),
    "stale, process id not known": (
        with_processes(state(verdict("it starts", stale_since=NOW)), {"process_id": 222}, {}),
        None,
        (
            "'it starts' of 'hive' was validated before its newest process was started; check it and record "
            "what you see: migration-state result -s 'my state.json' hive 'it starts' --passed (or "
            f"--failed), or allow 'stale'; {GONE} 'it starts' {REASON}"
        ),
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
        (
            f"'tests/test_x.py::t' of 'hive' was deselected and has never run; {RUN} tests/test_x.py::t, "
            f"or allow 'deselected'; {GONE} tests/test_x.py::t {REASON}"
        ),
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
            f"{RUN} tests/test_x.py; if it no longer exists: "
            "migration-state forget -s 'my state.json' '(collection)' tests/test_x.py --reason TEXT"
        ),
    ),
    "missing component": (
        state(PASSED),
        Policy(require=("worker",)),
        (
            "the required component 'worker' has no verdict; run its marked tests: "
            "pytest --migration-state='my state.json'"
        ),
    ),
    "hostile": (
        state(verdict("\x1b[2J", passed=False, error_message="::error::x\u202e")),
        None,
        (
            "'\\x1b[2J' of 'hive' failed: \\::error::x\\u202e; fix it, then check it and "
            "record what you see under its exact name, which cannot be typed; if it no longer exists, "
            "forget it by its exact name, which cannot be typed"
        ),
    ),
    "a name like an option": (
        state(verdict("-v", passed=False)),
        None,
        (
            "'-v' of 'hive' failed; fix it, then check it and record what you see: migration-state result "
            "-s 'my state.json' --passed -- hive -v (or --failed); if it no longer exists: "
            f"migration-state forget -s 'my state.json' {REASON} -- hive -v"
        ),
    ),
    "a file like an option": (
        state(verdict("-v.py::test_a", passed=False)),
        None,
        (
            f"'-v.py::test_a' of 'hive' failed; fix it, then {RUN} ./-v.py::test_a; if it no longer exists: "
            f"migration-state forget -s 'my state.json' {REASON} -- hive -v.py::test_a"
        ),
    ),
}


@pytest.mark.parametrize(("document", "policy", "expected"), MESSAGES.values(), ids=MESSAGES.keys())
def test_a_blocker_says_what_to_do(document: Document, policy: Policy | None, expected: str) -> None:
    """It names the problem and a command to copy, without control characters."""
    blockers = evaluate(document, policy, Context("my state.json")).blockers
    assert [expected] == [f"{blocker.message}; {blocker.fix}" for blocker in blockers]


NEXT = {
    "NotStarted": "next: migration-state phase BackupInProgress -s 'my state.json'",
    "BackupInProgress": "next: migration-state phase ContainerTermination -s 'my state.json'",
    "ContainerTermination": "next: migration-state phase NativeDeployment -s 'my state.json'",
    "NativeDeployment": "next: migration-state phase Validation -s 'my state.json'",
    "RolledBack": "begin again: migration-state init --force -s 'my state.json'",
}


@pytest.mark.parametrize(("phase", "fix"), NEXT.items(), ids=NEXT)
def test_phase_that_completed_cannot_follow_is_a_blocker(phase: str, fix: str) -> None:
    """It is one blocker beside all others, and its fix is the next step."""
    document = state(verdict("t", passed=False))
    apply_effects(document, {"phase": phase})
    other, blocker = evaluate(document, context=Context("my state.json")).blockers
    assert (blocker.kind, blocker.component, blocker.test_name) == ("phase", None, None)
    assert (blocker.fix, other.kind) == (fix, "failed")
    says_phase = f"the phase is {phase}, and Completed can follow only Validation"
    is_final = phase == "RolledBack"
    assert blocker.message == ("the migration is rolled back, which is final" if is_final else says_phase)


@pytest.mark.parametrize("phase", ["Validation", "Completed"])
def test_phase_is_no_blocker_in_validation_and_afterwards(phase: str) -> None:
    """Completed can follow the one, and the other has passed the gate."""
    document = state(PASSED)
    apply_effects(document, {"phase": phase})
    assert evaluate(document).open


def test_phase_is_refused_by_the_table_before_the_gate() -> None:
    """Completed from a phase that it cannot follow is an illegal transition, as before."""
    document = state(PASSED)
    apply_effects(document, {"phase": "NativeDeployment"})
    with pytest.raises(InvalidTransitionError):
        set_phase(document, NOW, "Completed")


@pytest.mark.parametrize(
    ("phase", "forced"), [("NotStarted", "why"), ("RolledBack", "why"), ("Validation", None)]
)
def test_completion_from_another_phase_is_forced_past_the_gate(phase: str, forced: str | None) -> None:
    """The phase is a blocker: who forces it forces the gate, even if all validations passed."""
    document = state(PASSED)
    apply_effects(document, {"phase": phase})
    event = set_phase(document, NOW, "Completed", force=True, reason="why")
    assert event.data["metadata"]["completed_with"]["forced"] == forced


def test_no_message_has_more_than_120_characters_of_its_own() -> None:
    """The names, times and texts in it come from outside. The rest must fit on one line of a terminal."""
    run = {"host": "h", "process_id": 1, "started_at": "t"}
    collecting, refused = {**run, "collecting": "s"}, {**run, "finished_at": "t", "exit_status": 2}
    messages = []
    for open_run in (run, collecting, refused):
        document = state(
            verdict("t", passed=False),
            verdict("x", passed=False, outcome="xfailed"),
            verdict("u", stale_since=NOW),
        )
        document.metadata["open_runs"] = {"r": open_run}
        for reason in REASONS:
            for component in ("c", COLLECTION):
                entry = outstanding(NOW, (component, reason), reason, "d")
                apply_effects(document, {"outstanding_validations": [{**entry, "run_id": "r"}]})
        for phase, liveness in product(Phase, get_args(Liveness)):
            document.fields["phase"] = phase.value
            result = evaluate(document, Policy(require=("q",)), Context("s", {"r": liveness}))
            messages += [blocker.message for blocker in result.blockers]
    assert len(set(messages)) > 20
    assert [message for message in messages if len(message) > 120 + len(max(REASONS, key=len))] == []


def test_the_result_is_true_if_the_gate_is_open() -> None:
    """A script that writes ``if tracker.gate():`` is right."""
    assert evaluate(state(PASSED))
    assert not evaluate(state())


def test_what_a_completion_required_counts_after_another_program_completed_it_again() -> None:
    """What it allowed does not: that program does not know of it."""
    document = state(PASSED, missing=[_out("skipped")])
    recorded = {"at": EARLIER, "require": ["worker"], "allow": ["skipped"]}
    apply_effects(
        document, {"phase": "Completed", "completed_at": NOW, "metadata": {"completed_with": recorded}}
    )
    assert [blocker.kind for blocker in evaluate(document).blockers] == ["outstanding", "missing_component"]


@pytest.mark.parametrize("first", ["dead", "unknown", "alive"])
def test_a_validation_waits_for_the_run_that_may_still_end(first: Liveness) -> None:
    """An older run is alive, and a newer one was killed."""
    document = state(PASSED, missing=[_out("pending", run_id="new", other_runs=["old", "older"])])
    document.metadata["open_runs"] = {"new": {}, "old": {}, "older": {}}
    liveness: dict[str, Liveness] = {"new": first, "old": "alive", "older": "dead"}
    (blocker,) = [
        found
        for found in evaluate(document, context=Context("s", liveness)).blockers
        if found.test_name == "other"
    ]
    awaited = "new" if first == "alive" else "old"
    assert blocker.message == f"'other' of 'hive' has no verdict: run {awaited} is running now"
    assert blocker.fix.startswith("let it finish, or ")


COMPLETIONS: dict[str, tuple[JsonObject | None, str]] = {
    "by rule": ({"at": NOW, "require": [], "allow": []}, "the gate was open when it was completed"),
    "by force": ({"at": NOW, "forced": "the window ends"}, "it was forced (the window ends)"),
    "by force, without a reason": ({"at": NOW, "forced": ""}, "it was forced (no reason given)"),
    "by force, edited": ({"at": NOW, "forced": False}, "it was forced (no reason given)"),
    "by rule, in another form": ({"at": NOW, "forced": None}, "the gate was open when it was completed"),
    "at a time that is none": ({"at": 5, "forced": ""}, "it was completed by a program that"),
    "by another program": (None, "it was completed by a program that does not know the gate"),
    "again, by another program": ({"at": EARLIER, "forced": ""}, "it was completed by a program that"),
}


@pytest.mark.parametrize(("recorded", "expected"), COMPLETIONS.values(), ids=COMPLETIONS)
def test_the_cause_of_a_completion_with_a_shut_gate_is_stated(
    recorded: JsonObject | None, expected: str
) -> None:
    """It was forced, another program did it, or a verdict came later."""
    document = state(verdict("t", passed=False))
    apply_effects(document, {"phase": "Completed", "completed_at": NOW})
    if recorded:
        document.metadata["completed_with"] = recorded
    assert completion_in_words(document).startswith(expected)


@pytest.mark.parametrize(
    ("recorded", "is_open"),
    [
        pytest.param({"at": NOW, "forced": None}, True, id="by rule"),
        pytest.param({"at": NOW, "forced": "why"}, False, id="by force"),
        pytest.param({"at": EARLIER, "forced": None}, False, id="again, by another program"),
        pytest.param({"require": ["hive"]}, False, id="at a time that is not on record"),
        pytest.param(None, False, id="by another program"),
    ],
)
def test_process_recorded_since_the_completion_is_no_blocker(
    recorded: JsonObject | None, is_open: bool
) -> None:
    """It came later only if the gate was open then. In doubt it may have come before."""
    document = state(STALE)
    apply_effects(document, {"phase": "Completed", "completed_at": NOW})
    if recorded:
        document.metadata["completed_with"] = recorded
    assert evaluate(document).open is is_open


def test_stale_verdict_counts_again_outside_completed() -> None:
    """A process that was recorded in Completed is a blocker once the migration is back in Validation."""
    document = state(STALE)
    document.metadata["completed_with"] = {"at": NOW, "forced": None}
    apply_effects(document, {"phase": "Validation", "completed_at": NOW})
    assert not evaluate(document).open


def test_the_result_is_printed_as_json() -> None:
    """It is the output of ``gate --json``."""
    blocker = {
        "kind": "no_verdicts",
        "component": None,
        "test_name": None,
        "message": "no validation has a verdict yet",
        "fix": "run the marked tests: pytest --migration-state=STATE",
    }
    assert evaluate(state()).to_object() == {"open": False, "blockers": [blocker]}
    assert evaluate(state(PASSED)).to_object() == {"open": True, "blockers": []}


def test_a_completed_migration_is_judged_by_the_policy_of_its_completion() -> None:
    """What it allowed and what it required still hold; what no policy can have is passed over."""
    document = state(PASSED, verdict("u", component="worker"), missing=[_out("skipped")])
    recorded = {"require": ["worker", "", 7], "allow": ["skipped", "everything"]}
    apply_effects(document, {"phase": "Completed", "metadata": {"completed_with": recorded}})
    assert evaluate(document).open
    del document.verdicts["worker", "u"]
    blockers = evaluate(document).blockers
    assert [(blocker.kind, blocker.component) for blocker in blockers] == [("missing_component", "worker")]


@pytest.mark.parametrize("require", ["guardian-hive", {"guardian-hive": True}, 7, None])
def test_a_requirement_that_is_no_list_is_refused(require: Any) -> None:
    """A text would require each of its letters."""
    with pytest.raises(InvalidArgumentError, match="it must be a list of strings"):
        Policy(require=require)


def test_an_unknown_reason_in_a_policy_is_refused() -> None:
    """Only four reasons can be allowed."""
    with pytest.raises(
        InvalidArgumentError,
        match="allow 'failed' cannot be used: it must be one of skipped, deselected, xfailed, stale",
    ):
        Policy(allow=frozenset({"failed"}))
