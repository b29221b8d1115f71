"""What the writers of a race did and when, and what must be true of the state afterwards.

All times are those of the monotonic clock, in nanoseconds, which all processes of one machine share.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from writers import quiet, tracker_at

from pytest_migration_state.domain.phases import Phase
from pytest_migration_state.storage.files.store import FileStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.types import JsonObject

Kind = Literal["passed", "failed", "container", "phase"]


class Deed(NamedTuple):
    """One change of one writer.

    :ivar who: the writer; the names of stand-ins for PowerShell begin with ``ps``.
    :ivar about: the component and the name of the test; the name and the id of the container; or the phase.
    :ivar began: when its function was called.
    :ivar ended: when it returned.
    :ivar result: whether it was done; said on the screen that its line is missing, or that it failed.
    """

    who: str
    kind: Kind
    about: tuple[str, ...]
    began: int
    ended: int
    result: Literal["done", "no line", "failed"] = "done"

    @property
    def is_theirs(self) -> bool:
        return self.who.startswith("ps")

    def encoded(self) -> str:
        return json.dumps(self)

    @classmethod
    def decoded(cls, line: str) -> Deed:
        who, kind, about, *rest = json.loads(line)
        return cls(who, kind, tuple(about), *rest)


@dataclass
class Outcome:
    """What became of the deeds of one race.

    :ivar lost: acknowledged changes that are gone, although nobody else can have undone them.
    :ivar false_greens: tests that passed at last, although a failure came after every pass.
    :ivar opened: completions that were accepted although a failure was the last word on a test.
    :ivar overwritten: changes of one stand-in that another one overwrote.
    :ivar unsaid: those that are gone and of which the screen said that their line is missing.
    :ivar needless_reds: tests that failed at last, although our pass came after every failure.
    :ivar problems: what ``verify`` says.
    """

    lost: list[str] = field(default_factory=list)
    false_greens: list[str] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    overwritten: int = 0
    unsaid: int = 0
    needless_reds: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def must_be_empty(self) -> list[str]:
        return [*self.lost, *self.false_greens, *self.opened, *self.problems]


def judge(state: Path, deeds: list[Deed]) -> Outcome:
    """Return what became of the deeds."""
    tracker_at(state).commit([])
    document = FileStore(state, notify=quiet).read()
    outcome = Outcome()
    done = [deed for deed in deeds if deed.result != "failed"]
    _judge_losses(outcome, state, document, done)
    _judge_tests(outcome, document, done)
    _judge_completions(outcome, done)
    is_open = tracker_at(state).gate().open
    if is_open and not all(verdict["passed"] for verdict in document.verdicts.values()):
        outcome.opened.append("the gate is open")
    are_several = len({deed.who for deed in deeds if deed.is_theirs}) > 1
    for problem in tracker_at(state).verify().problems:
        # That a failure came after the completion is named; whether it came before is judged above.
        is_named = problem.kind == "completed_past_gate"
        # Of two lines at the same place, the end of the longer one may be left.
        is_named |= are_several and "written by another program and is not" in problem.message
        outcome.problems += [] if is_named else [problem.message]
    return outcome


def _judge_losses(outcome: Outcome, state: Path, document: Document, done: list[Deed]) -> None:
    known = set(_on_record(document, state))
    rolled_back = any(deed.about == ("RolledBack",) for deed in done)
    for deed in done:
        if deed.kind == "phase":
            is_there = document.phase is Phase.ROLLED_BACK or not rolled_back
        else:
            is_there = (deed.kind, *deed.about) in known
        if is_there:
            continue
        if deed.is_theirs and any(_can_overwrite(other, deed) for other in done):
            outcome.overwritten += 1
        elif deed.result == "no line":
            outcome.unsaid += 1
        else:
            outcome.lost.append(f"lost {deed}")


def _can_overwrite(other: Deed, deed: Deed) -> bool:
    return other.is_theirs and other.who != deed.who and _overlap(other, deed)


def _overlap(one: Deed, other: Deed) -> bool:
    return one.began <= other.ended and other.began <= one.ended


def _on_record(document: Document, state: Path) -> Iterator[tuple[str, ...]]:
    """Yield every result and container that the document, or an entry of the log, knows."""
    for item in document.fields["docker_containers_removed"]:
        # Two PowerShells at once may leave an object in which a key is missing.
        yield "container", item["name"], item.get("id", "")
    for line in FileStore(state, notify=quiet).audit_lines():
        data: JsonObject = (line.content or {}).get("data", {})
        for verdict in _results(data):
            yield "passed" if verdict["passed"] else "failed", verdict["component"], verdict["test_name"]


def _results(data: JsonObject) -> Iterator[JsonObject]:
    for key in ("validation_results", "failed_meanwhile", "superseded"):
        yield from data.get(key, ())
    yield from data.get("adopted", {}).get("validation_results", ())
    yield from (item["verdict"] for item in data.get("refused", ()) if "verdict" in item)


def _by_test(deeds: list[Deed]) -> dict[tuple[str, ...], list[Deed]]:
    tests: dict[tuple[str, ...], list[Deed]] = {}
    for deed in deeds:
        if deed.kind in {"passed", "failed"}:
            tests.setdefault(deed.about, []).append(deed)
    return tests


def _is_failed_last(deeds: list[Deed]) -> bool:
    """Return True if a failure came after every pass of this test."""
    passes = [deed for deed in deeds if deed.kind == "passed"]
    failures = [deed for deed in deeds if deed.kind == "failed" and deed.result == "done"]
    return any(all(good.ended < bad.began for good in passes) for bad in failures)


def _is_ours_last(deeds: list[Deed]) -> bool:
    """Return True if a pass of ours came after every failure of this test."""
    passes = [deed for deed in deeds if deed.kind == "passed" and not deed.is_theirs]
    failures = [deed for deed in deeds if deed.kind == "failed"]
    return any(all(bad.ended < good.began for bad in failures) for good in passes)


def _judge_tests(outcome: Outcome, document: Document, done: list[Deed]) -> None:
    for about, deeds in _by_test(done).items():
        verdict = document.verdicts.get((about[0], about[1]))
        is_green = verdict is not None and verdict["passed"]
        if is_green and _is_failed_last(deeds):
            if _all_overwritten(deeds, done):
                outcome.overwritten += 1
            else:
                outcome.false_greens.append(f"{about} passed: {deeds}")
        outcome.needless_reds += not is_green and _is_ours_last(deeds)


def _all_overwritten(deeds: list[Deed], done: list[Deed]) -> bool:
    """Return True if each failure of a test may have been overwritten by another stand-in."""
    failures = [deed for deed in deeds if deed.kind == "failed"]
    return all(deed.is_theirs and any(_can_overwrite(other, deed) for other in done) for deed in failures)


def _judge_completions(outcome: Outcome, done: list[Deed]) -> None:
    for completion in (deed for deed in done if deed.about == ("Completed",) and not deed.is_theirs):
        before = [deed for deed in done if deed.began < completion.ended]
        for about, deeds in _by_test(before).items():
            certain = [deed for deed in deeds if deed.kind == "passed" or deed.ended < completion.began]
            if _is_failed_last(certain) and not _all_overwritten(certain, done):
                outcome.opened.append(f"{about} had failed when {completion} was accepted")
