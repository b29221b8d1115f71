"""Blockers in groups: what belongs together, why, and the one command for all of it."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_migration_state.domain.document import Document
from pytest_migration_state.domain.gate import Context, evaluate, let_pass
from pytest_migration_state.domain.groups import Group, grouped, shared_causes
from pytest_migration_state.domain.policy import Policy
from pytest_migration_state.types import Blocker

STATE = "migration-state.json"
PYTEST = f"pytest --migration-state={STATE}"
#: A verdict that failed, and a validation that is outstanding.
FAILED = {"component": "hive", "passed": False, "error_message": "assert 0"}
PENDING = {"component": "hive", "reason": "pending", "since": "2026-01-15T09:00:00Z"}


def groups_of(
    verdicts: list[dict[str, Any]],
    outstanding: list[dict[str, Any]] | None = None,
    policy: Policy | None = None,
    liveness: dict[str, Any] | None = None,
    **metadata: Any,
) -> list[Group]:
    """The groups of the blockers of a state in Validation."""
    document = Document(
        {
            "phase": "Validation",
            "validation_results": verdicts,
            "outstanding_validations": outstanding or [],
            "metadata": metadata,
        }
    )
    context = Context(STATE, liveness or {})
    return grouped(document, evaluate(document, policy, context).blockers, context)


def test_failures_of_one_file_are_one_group() -> None:
    """Its command runs the file, and each cause is named once, the most frequent first."""
    (group,) = groups_of(
        [
            {**FAILED, "test_name": "tests/t.py::a"},
            {**FAILED, "test_name": "tests/t.py::b", "error_message": "it answers 500"},
            {**FAILED, "test_name": "tests/t.py::c", "error_message": "it answers 500"},
        ]
    )
    assert (group.component, group.place, group.counts) == ("hive", "tests/t.py", {"failed": 3})
    assert group.causes == (("failed: it answers 500", 2, ("b", "c")), ("failed: assert 0", 1, ("a",)))
    assert group.step.in_words() == f"fix them, then run: {PYTEST} tests/t.py"


def test_components_and_files_are_told_apart() -> None:
    """Neither two components in one file nor two files of one component are one group."""
    groups = groups_of(
        [
            {**FAILED, "test_name": "t.py::a"},
            {**FAILED, "test_name": "u.py::a"},
            {**FAILED, "component": "agent", "test_name": "t.py::a"},
        ]
    )
    places = [(group.component, group.place) for group in groups]
    assert places == [("hive", "t.py"), ("hive", "u.py"), ("agent", "t.py")]


def test_single_blocker_keeps_its_own_fix() -> None:
    """The command runs only its test."""
    (group,) = groups_of([{**FAILED, "test_name": "t.py::a"}])
    assert group.step.command == f"{PYTEST} t.py::a"
    assert group.step == group.blockers[0].steps[0]


def test_validation_with_a_name_of_its_own_belongs_to_its_file() -> None:
    """Its node id says which file it is; the group shows its name."""
    (group,) = groups_of(
        [
            {**FAILED, "test_name": "answers", "node_id": "t.py::a"},
            {**FAILED, "test_name": "t.py::b"},
        ]
    )
    assert (group.place, group.causes[0].names) == ("t.py", ("answers", "b"))


def test_results_recorded_by_hand_are_one_group() -> None:
    """No test can be run: what is seen is recorded."""
    by_hand = f"migration-state result -s {STATE} hive TEST --passed"
    (group,) = groups_of([{**FAILED, "test_name": "a"}, {**FAILED, "test_name": "b"}])
    assert group.place == ""
    assert group.step == ("fix them, then check each and record what you see", by_hand, " (or --failed)")


def test_backup_is_no_result_like_others() -> None:
    """It is imported again: nobody is told to set a broken backup to passed."""
    backup, by_hand = groups_of([{**FAILED, "test_name": "backup"}, {**FAILED, "test_name": "answers"}])
    assert (backup.place, by_hand.place) == ("backup", "")
    assert backup.step.command == f"migration-state import-backup -s {STATE} MANIFEST"


@pytest.mark.parametrize(
    ("reason", "before", "after"),
    [
        ("skipped", "fix them, then run", ", or allow 'skipped'"),
        ("deselected", "run", ", or allow 'deselected'"),
        ("pending", "run", ""),
    ],
)
def test_outstanding_validations_are_counted_by_their_reason(reason: str, before: str, after: str) -> None:
    """What may be allowed is offered, if it deals with the whole group."""
    entries = [{**PENDING, "reason": reason, "test_name": f"t.py::{name}"} for name in "ab"]
    passed = {**FAILED, "component": "agent", "test_name": "x", "passed": True}
    (group,) = groups_of([passed], entries)
    assert group.counts == {reason: 2}
    assert group.step == (before, f"{PYTEST} t.py", after)


def test_allowing_one_reason_is_no_fix_for_a_mixed_group() -> None:
    """A skipped test may be allowed, a failed one not."""
    skipped = {**PENDING, "reason": "skipped", "test_name": "t.py::b"}
    (group,) = groups_of([{**FAILED, "test_name": "t.py::a"}], [skipped])
    assert (group.counts, group.step.rest) == ({"failed": 1, "skipped": 1}, "")


def test_validations_of_a_run_that_is_alive_may_be_waited_for() -> None:
    """The words say so."""
    entries = [{**PENDING, "test_name": f"t.py::{name}", "run_id": "r1"} for name in "ab"]
    groups = groups_of([], entries, liveness={"r1": "alive"}, open_runs={"r1": {"host": "ci"}})
    (group,) = (group for group in groups if group.place == "t.py")
    assert group.step.words == "let it finish, or run"


def test_files_that_were_not_collected_are_one_group() -> None:
    """A few are named in the command; for many, everything is run."""
    broken = {**PENDING, "component": "(collection)", "reason": "collection_error", "detail": "SyntaxError"}
    for number, command in ((2, f"{PYTEST} t0.py t1.py"), (30, PYTEST)):
        passed = {**FAILED, "test_name": "x", "passed": True}
        (group,) = groups_of([passed], [{**broken, "test_name": f"t{index}.py"} for index in range(number)])
        assert group.counts == {"collection_error": number}
        assert group.causes[0].what == "could not be collected (SyntaxError)"
        assert group.step == ("fix them, then run", command, "")


def test_runs_that_did_not_finish_are_one_group() -> None:
    """Those that are alive can be waited for; the command names the others, and nothing else of its kind."""
    runs = {f"r{number}": {"collecting": True} for number in range(3)}
    passed = {**FAILED, "test_name": "x", "passed": True}
    (group,) = groups_of([passed], open_runs=runs, liveness={"r1": "alive"})
    assert (group.place, group.counts) == ("runs", {"unfinished run": 3})
    forget = f"migration-state forget -s {STATE} '(collection)' 'run r0' 'run r2' --reason TEXT"
    assert group.step.command == forget
    (alive,) = groups_of([passed], open_runs=runs, liveness=dict.fromkeys(runs, "alive"))
    assert alive.step == ("let them finish", "", "")


def test_tests_that_claim_one_validation_are_run_each() -> None:
    """Their command names the tests, and not the name under which they are outstanding."""
    entries = [
        {**PENDING, "component": "(collection)", "reason": "collection_error", "test_name": name}
        for name in ("t.py", "a.py::a and b.py::b")
    ]
    (group,) = groups_of([{**FAILED, "test_name": "x", "passed": True}], entries)
    assert group.step.command == f"{PYTEST} t.py a.py::a b.py::b"


@pytest.mark.parametrize("name", ["by\nhand", "t.py::a[\x1b]", "t.py::a[👩\u200d👧]"])
def test_no_command_names_what_cannot_be_typed(name: str) -> None:
    """It would be about another validation."""
    (group,) = groups_of([{**FAILED, "test_name": name}])
    (blocker,) = group.blockers
    commands = [step.command for step in blocker.steps]
    assert commands == ([PYTEST, ""] if "::" in name else ["", ""])
    assert "its exact name, which cannot be typed" in blocker.fix


def test_name_that_looks_like_a_pattern_is_forgotten_once() -> None:
    """When it is gone, the same command would forget others."""
    (group,) = groups_of([{**FAILED, "test_name": "t.py::a[*.py]"}])
    assert group.blockers[0].fix.endswith(" --reason TEXT (only once: then it would be a pattern)")


def test_missing_components_are_one_group() -> None:
    """They are named."""
    passed = {**FAILED, "test_name": "x", "passed": True}
    (group,) = groups_of([passed], policy=Policy(require=["agent", "worker"]))
    assert (group.component, group.place, group.causes) == (
        None,
        "required components",
        (("no verdict", 2, ("agent", "worker")),),
    )
    assert group.step.in_words() == f"run their marked tests: {PYTEST}"


def test_no_blocker_is_lost() -> None:
    """Whatever the blockers are, each is in one group, and a rule's own too."""
    document = Document({"phase": "NotStarted", "validation_results": [{**FAILED, "test_name": "t.py::a"}]})
    context = Context(STATE)
    own = [
        Blocker("rule", None, None, "the moon is full", "wait"),
        Blocker("rule", "hive", None, "no", "wait"),
    ]
    blockers = [*evaluate(document, None, context).blockers, *own]
    groups = grouped(document, blockers, context)
    assert [blocker for group in groups for blocker in group.blockers] == blockers
    (rule,) = (group for group in groups if group.blockers == (own[0],))
    assert rule.step.in_words() == "wait"


def test_causes_that_groups_share_are_counted_together() -> None:
    """The most frequent comes first; a cause of one group alone is none of them."""
    verdicts = [{**FAILED, "test_name": f"{file}.py::{name}"} for file in "tuv" for name in "ab"]
    verdicts += [{**FAILED, "test_name": "w.py::a", "error_message": "only here"}]
    verdicts += [{**FAILED, "test_name": f"{file}.py::c", "error_message": "rare"} for file in "tu"]
    assert shared_causes(groups_of(verdicts)) == [("failed: assert 0", 6, 3), ("failed: rare", 2, 2)]


def test_what_the_policy_lets_pass_is_counted() -> None:
    """Only what would keep the gate shut without the policy."""
    document = Document(
        {
            "phase": "Validation",
            "validation_results": [
                {**FAILED, "test_name": "a", "outcome": "xfailed"},
                {**FAILED, "test_name": "b", "passed": True, "stale_since": "2026-01-15T09:00:00Z"},
                {**FAILED, "test_name": "c", "passed": True},
            ],
            "outstanding_validations": [{**PENDING, "reason": "skipped", "test_name": "d"}],
        }
    )
    assert let_pass(document) == {}
    assert let_pass(document, Policy(allow=["xfailed", "deselected"])) == {"xfailed": 1}
    everything = Policy(allow=["xfailed", "deselected", "skipped", "stale"])
    assert let_pass(document, everything) == {"skipped": 1, "stale": 1, "xfailed": 1}
