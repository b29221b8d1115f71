"""PowerShell beside us: a writer that knows none of our locks, beside runs, commands and a completer.

The stand-in does to the files what the functions of a real PowerShell do, with the same system calls. What it cannot be kept
from losing (it opened the document just before that was replaced) has to be named by ``verify``.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from processes import Words, start
from writers import in_validation, no_check, quiet, recorder_at, tracker_at, written

from powershell_writer import PowerShellError, PowerShellWriter
from pytest_migration_state.cli.main import main
from pytest_migration_state.core import run
from pytest_migration_state.core.checkpoint import Checkpoint
from pytest_migration_state.core.errors import GateBlockedError, InvalidTransitionError, MigrationStateError, StateDamagedError
from pytest_migration_state.core.events import outstanding
from pytest_migration_state.core.journal import Journal, read_lines
from pytest_migration_state.core.store import Store
from pytest_migration_state.core.text import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_migration_state.core.document import Document

_VERDICTS = 60
_COMMANDS = 6
_CHANGES = 40

#: What is wrong with the chain if a line of ours was overwritten.
_OVERWRITTEN = {"changed", "not_json", "dropped", "doubled", "moved", "entries_missing", "log_short", "other_log"}


@dataclass
class Round:
    """What one round has shown.

    :ivar lost_verdicts: verdicts and other changes of ours that were acknowledged and are not there.
    :ivar changes: how many functions of PowerShell have succeeded.
    :ivar without_line: how many besides said on the screen that their line could not be written to the log.
    :ivar lost_told: how many of those have changed nothing: no line is there that could be named.
    :ivar failed: how many failed with a message on the screen, and changed nothing.
    :ivar lost_changes: what has succeeded and is not there.
    :ivar named: how many lines ``verify`` names whose effect the document lacks.
    :ivar overwritten: lines that are not what they were when they were written.
    :ivar misread: readers of ours that took a document in the making for damage.
    :ivar refused: runs that could not record everything.
    """

    lost_verdicts: int = 0
    written: int = 0
    changes: int = 0
    without_line: int = 0
    lost_told: int = 0
    failed: int = 0
    lost_changes: int = 0
    named: int = 0
    overwritten: int = 0
    misread: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def _run(state: Path, name: str, words: Words) -> None:
    # Far more checkpoints than a run makes: each is a chance to write over what PowerShell wrote.
    run.CHECKPOINT_INTERVAL, run.CHECKPOINT_SHARE = 0.0, 1  # type: ignore[misc]  # not so final in this process
    recorder = recorder_at(state, name)
    recorder.open(no_check, {})
    recorder.plan([outstanding(utc_now(), (name, str(number)), "pending") for number in range(1, _VERDICTS + 1)])
    for number in range(1, _VERDICTS + 1):
        recorder.verdict((name, str(number)), passed=True, error_message=None)
        if recorder.failure is None:
            words.say(f"ours {name} {number}")
        time.sleep(0.001)
    recorder.finish(0, {}, 0.0)
    words.say(f"run {recorder.failure}")


def _commands(state: Path, name: str, words: Words) -> None:
    sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115  # for as long as this process lives
    for number in range(1, _COMMANDS + 1):
        command = ["result", "-s", str(state), name, str(number), "--passed"]
        if number % 3 == 0:
            command = ["container", "-s", str(state), name, str(number)]
        if main(command) == 0:
            words.say(f"ours {name} {number}")
        time.sleep(0.005)


def _complete(state: Path, words: Words) -> None:
    tracker = tracker_at(state)
    while True:
        try:
            tracker.commit([{"operation": "set_phase", "phase": "Completed"}])
        except (GateBlockedError, InvalidTransitionError):
            time.sleep(0.01)
        except MigrationStateError as error:
            words.say(f"misread {error}")


def _read(state: Path, words: Words) -> None:
    while True:
        try:
            Store(state, notify=quiet).read()
        except MigrationStateError as error:
            words.say(f"misread {error}")
        time.sleep(0.001)


class _Screen(PowerShellWriter):
    """Notes what PowerShell shows on the screen although the function goes on: that its line could not be written to the log."""

    told = False

    def _open(self, path: Path, flags: int) -> int:
        try:
            return super()._open(path, flags)
        except PowerShellError:
            self.told = self.told or path == self.log
            raise


def _powershell(state: Path, flavour: str, pause: float, words: Words) -> None:
    sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115  # for as long as this process lives
    writer = _Screen(state, flavour, pause, seed=1)
    for number in range(1, _CHANGES + 1):
        writer.told = False
        try:
            match number % 4:
                case 0:
                    writer.container("ps", str(number))
                case 1:
                    writer.data(f"ps:{number}", "C:\\backups\\Grüße")
                case 2:
                    writer.result("ps", str(number), "true")
                case _:
                    writer.process(f"ps-{number}", str(number))
            words.say(f"{'told' if writer.told else 'theirs'} {number}")
        except PowerShellError:
            words.say("failed")
        time.sleep(0.001)


def _theirs(document: Document) -> set[int]:
    processes = [item["name"] for item in document.fields["native_processes_started"]]
    return {*written(document, "ps"), *(int(name.removeprefix("ps-")) for name in processes if name.startswith("ps-"))}


def play(state: Path, flavour: str, pause: float) -> Round:
    """PowerShell beside two runs, four writers on the command line, a completer and a reader."""
    in_validation(state).close()
    words = Words()
    runs = [f"run-{number}" for number in range(2)]
    commands = [f"command-{number}" for number in range(4)]
    writers = [start(partial(_run, state, name, words)) for name in runs]
    writers += [start(partial(_commands, state, name, words)) for name in commands]
    writers.append(start(partial(_powershell, state, flavour, pause, words)))
    beside = [start(partial(_complete, state, words)), start(partial(_read, state, words))]
    said: list[str] = []
    for writer in writers:
        # Heard all the time: a full pipe would stop everybody.
        while writer.poll() is None:
            said += words.heard(0.01)
        assert writer.status == 0
    for child in beside:
        child.kill()
    said += words.heard()
    words.close()
    return _judge(state, said)


def _judge(state: Path, said: list[str]) -> Round:
    found = Round()
    acknowledged: dict[str, set[int]] = {}
    changed: set[int] = set()
    told: set[int] = set()
    for line in said:
        match line.split(" ", 2):
            case ["ours", name, number]:
                acknowledged.setdefault(name, set()).add(int(number))
            case ["theirs", number]:
                changed.add(int(number))
            case ["told", number]:
                told.add(int(number))
            case ["failed"]:
                found.failed += 1
            case ["run", *failure]:
                found.refused += [] if failure == ["None"] else [" ".join(failure)]
            case _:
                found.misread.append(line)
    tracker_at(state).commit([])
    report = tracker_at(state).verify()
    document = tracker_at(state).read()
    for name, numbers in acknowledged.items():
        there = written(document, name)
        assert len(there) == len(set(there))
        found.written += len(numbers)
        found.lost_verdicts += len(numbers - set(there))
    found.changes = len(changed)
    found.without_line, found.lost_told = len(told), len(told - _theirs(document))
    found.lost_changes = len(changed - _theirs(document))
    found.named = sum(problem.kind == "effect_missing" for problem in report.problems)
    found.overwritten = sum(problem.kind in _OVERWRITTEN for problem in report.problems)
    found.overwritten += sum(
        line.content is None and bool(line.raw.strip()) for line in read_lines(state.with_name("migration-audit.log")) if not line.damage
    )
    return found


def _losses(found: Round) -> dict[str, int]:
    """What must not be: losses of ours, and more losses of theirs than a function now and then, or one that is not named."""
    return {
        "verdicts lost": found.lost_verdicts,
        "lines overwritten": found.overwritten,
        "misread": len(found.misread),
        "runs refused": len(found.refused),
        "changes lost and not named": max(0, found.lost_changes - found.named),
        "changes lost too often": lost if (lost := found.lost_changes + found.lost_told) > 1 + found.changes // 20 else 0,
    }


_WAYS = [("7", 0.0), ("5.1", 0.0), ("7", 0.001), ("5.1", 0.001)]


@pytest.mark.parametrize(("flavour", "pause"), _WAYS)
def test_powershell_beside_everybody(
    folder: Path, flavour: str, pause: float, rounds: Callable[[int, int], int], figures: Callable[[str], None]
) -> None:
    """No verdict of ours is lost, no line overwritten, no document misread, and no change of theirs lost without a word."""
    total: Counter[str] = Counter()
    count = rounds(5, 125)
    for number in range(count):
        found = play(folder / str(number) / "migration-state.json", flavour, pause)
        assert not any(_losses(found).values()), found
        total.update({name: value for name, value in vars(found).items() if isinstance(value, int)})
    figures(
        f"PowerShell {flavour}, pause {pause} s, {count} rounds: verdicts lost 0 of {total['written']}, changes lost {total['lost_changes']} of "
        f"{total['changes']} (named by verify: {total['named']}), and {total['lost_told']} of {total['without_line']} that said on the screen that their "
        f"line was not written; {total['failed']} functions failed and said so; lines overwritten 0"
    )


def _do_nothing(_: Journal) -> None:
    """In place of taking and giving back the lock on the log."""


_replace = Checkpoint.replace


def _replace_without_comparing(checkpoint: Checkpoint, document: Document, known: bytes | None, patience: float) -> bytes | None:
    """As if the document on disk were always the one that was read."""
    with checkpoint.locked(patience) as digest:
        known = digest
    return _replace(checkpoint, document, known, patience)


@pytest.mark.parametrize("what", ["the lock on the log", "the check before replacing"])
def test_what_protects_is_needed(folder: Path, what: str, monkeypatch: pytest.MonkeyPatch, figures: Callable[[str], None]) -> None:
    """Without the one or the other the same rounds show losses: they can see what they are for."""
    if what == "the lock on the log":
        monkeypatch.setattr(Journal, "_take_lock", _do_nothing)
        monkeypatch.setattr(Journal, "_give_back", _do_nothing)
    else:
        monkeypatch.setattr(Checkpoint, "replace", _replace_without_comparing)
    losses: Counter[str] = Counter()
    number = 0
    while not losses and number < 20:
        number += 1
        try:
            losses += Counter(_losses(play(folder / str(number) / "migration-state.json", "7", 0.001)))
        except (AssertionError, StateDamagedError):
            # The chain is broken, for us or for one of the writers, which ends with an error: as plain a loss as there is.
            losses["damaged"] += 1
    assert losses
    figures(f"without {what}: after {number} rounds {dict(losses)}")
