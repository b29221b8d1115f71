"""Journals of killed runs: cut at every byte, flipped, found by several processes at once, and raced."""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from processes import run_all
from writers import (
    assert_sound,
    in_validation,
    leave_journal,
    no_check,
    operation,
    quiet,
    run_at,
    tracker_at,
    written,
)

from pytest_migration_state.domain.gate import evaluate
from pytest_migration_state.domain.verdict import Verdict
from pytest_migration_state.storage.files.store import FileStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_COUNT = 6


def _kinds(state: Path) -> list[str]:
    document = FileStore(state, notify=quiet).read()
    return [blocker.kind for blocker in evaluate(document).blockers]


def test_journal_cut_at_any_byte_gives_its_whole_lines(
    state: Path, rounds: Callable[[int, int], int], figures: Callable[[str], None]
) -> None:
    """What is cut off is outstanding: no verdict is taken for another, and the gate is shut."""
    in_validation(state).close()
    journal = leave_journal(state, "run", _COUNT)
    content = journal.read_bytes()
    before = {path: path.read_bytes() for path in state.parent.iterdir()}
    step = max(1, len(content) // rounds(len(content) // 4, len(content)))
    cuts = 0
    for length in [*range(0, len(content), step), len(content)]:
        for path in list(state.parent.iterdir()):
            path.unlink()
        for path, held in before.items():
            path.write_bytes(held)
        journal.write_bytes(content[:length])
        whole = content[:length].count(b"\n")
        assert written(FileStore(state, notify=quiet).read(), "run") == list(range(1, whole + 1))
        tracker = tracker_at(state)
        tracker.commit([operation("after", 1)])
        assert written(tracker.read(), "run") == list(range(1, whole + 1))
        assert len(tracker.read().outstanding) == _COUNT - whole
        assert not journal.exists()
        is_torn = content[:length].rpartition(b"\n")[2] != b""
        assert bool(list(state.parent.glob("*.journal-*"))) == is_torn
        cuts += 1
        if cuts % 10 == 0:
            assert_sound(state)
    figures(f"{cuts} cuts of a journal of {len(content)} bytes: each whole line counted, none twice")


def test_flipped_bits_of_a_journal_never_open_the_gate(
    state: Path, rounds: Callable[[int, int], int], figures: Callable[[str], None]
) -> None:
    """Its last line is a failure: whatever happens to the journal, the gate does not open."""
    in_validation(state).close()
    journal = leave_journal(state, "run", _COUNT, failed=1)
    content = journal.read_bytes()
    chance = random.Random(1)
    found: Counter[str] = Counter()
    for _ in range(rounds(1500, 20_000)):
        flipped = bytearray(content)
        flipped[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        journal.write_bytes(flipped)
        found[" and ".join(sorted(set(_kinds(state))))] += 1
    assert "" not in found
    figures(f"flipped bits of a journal: {dict(found)}")


def test_a_dead_journal_is_taken_over_once(
    folder: Path, rounds: Callable[[int, int], int], figures: Callable[[str], None]
) -> None:
    """Several processes find the same dead journal at the same time."""
    template = folder / "template" / "migration-state.json"
    in_validation(template).close()
    leave_journal(template, "run", _COUNT)
    state = folder / "work" / template.name
    count = rounds(40, 400)
    for number in range(count):
        shutil.rmtree(state.parent, ignore_errors=True)
        shutil.copytree(template.parent, state.parent)
        run_all(partial(tracker_at(state).commit, [operation(name, 1)]) for name in ("a", "b", "c"))
        log = state.with_name("migration-audit.log").read_text("utf-8")
        assert log.count('"action":"ValidationResult"') == _COUNT + 3
        assert not state.with_name(f"{state.name}.run-run").exists()
        if number % 10 == 0:
            assert_sound(state)
    figures(f"{count} dead journals found by three processes at once: each verdict taken over once")


def test_what_was_recorded_last_counts(
    state: Path, rounds: Callable[[int, int], int], figures: Callable[[str], None]
) -> None:
    """A command records a failure while a run records a pass of the same test, many times.

    Both note when. Where one was over before the other began, the later one counts.
    """
    count = rounds(150, 2000)
    in_validation(state).close()
    run_all([partial(_record_failures, state, count), partial(_record_passes, state, count)])
    found = {
        key[1]: verdict["passed"] for key, verdict in FileStore(state, notify=quiet).read().verdicts.items()
    }
    failures, passes = _times(state, "failures"), _times(state, "passes")
    seen: Counter[str] = Counter()
    for name in map(str, range(count)):
        if passes[name][1] < failures[name][0]:
            seen["failures last"] += 1
            assert found[name] is False
        elif failures[name][1] < passes[name][0]:
            seen["passes last"] += 1
            assert found[name] is True
        else:
            seen["at once"] += 1
    superseded = state.with_name("migration-audit.log").read_text("utf-8").count("counts for nothing")
    assert seen["at once"]
    assert_sound(state)
    figures(f"{count} failures beside passes: {dict(seen)}, {superseded} passes came too late to count")


def _times(state: Path, kind: str) -> dict[str, tuple[float, float]]:
    lines = state.with_name(kind).read_text("utf-8").splitlines()
    return {name: (float(began), float(ended)) for name, began, ended in (line.split() for line in lines)}


def _record_failures(state: Path, count: int) -> None:
    tracker = tracker_at(state)
    with state.with_name("failures").open("w", encoding="utf-8") as times:
        for number in range(count):
            state.with_name("turn").write_text(str(number), encoding="utf-8")
            began = time.monotonic()
            verdict = {"component": "c", "test_name": str(number), "passed": False}
            tracker.commit([{"operation": "add_validation_result", **verdict}])
            print(number, began, time.monotonic(), file=times)


def _record_passes(state: Path, count: int) -> None:
    run = run_at(state, "run")
    run.open(no_check, {})
    chance = random.Random(3)
    turn = state.with_name("turn")
    with state.with_name("passes").open("w", encoding="utf-8") as times:
        for number in range(count):
            # Sometimes before the command, mostly while it works.
            is_ahead = chance.random() < 0.3
            while number > int(turn.read_text("utf-8") or 0 if turn.exists() else -1) + is_ahead:
                time.sleep(0.0001)
            time.sleep(0 if is_ahead else chance.uniform(0, 0.012))
            began = time.monotonic()
            run.verdict(Verdict(("c", str(number)), passed=True, run_id="run"))
            print(number, began, time.monotonic(), file=times)
    run.finish(0, {})
    assert run.failure is None
    run.close()
