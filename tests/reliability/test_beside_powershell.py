"""PowerShell, a writer that takes none of this package's locks, beside runs, commands and a completer.

The stand-in treats the files like the functions of a real PowerShell, with the same system calls. A change
that PowerShell loses itself (it opened the document just before that was replaced) must be reported by
``verify``.
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
from writers import Screen, in_validation, no_check, quiet, run_at, tracker_at, written

from powershell_writer import PowerShellError
from pytest_migration_state.cli.main import main
from pytest_migration_state.domain.run_events import outstanding
from pytest_migration_state.domain.run_plan import RunPlan
from pytest_migration_state.domain.verdict import Verdict
from pytest_migration_state.errors import (
    GateBlockedError,
    InvalidTransitionError,
    MigrationStateError,
    StateDamagedError,
)
from pytest_migration_state.storage.files import run_log
from pytest_migration_state.storage.files.audit_log import AuditLogFile
from pytest_migration_state.storage.files.document_file import DocumentFile
from pytest_migration_state.storage.files.log_lines import read_lines
from pytest_migration_state.storage.files.store import FileStore
from pytest_migration_state.text import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_migration_state.domain.document import Document

_VERDICTS = 60
_COMMANDS = 6
_CHANGES = 40

#: The kinds of problems when an entry of this package was overwritten.
_OVERWRITTEN = {"changed", "missing", "moved", "other_log"}


@dataclass
class Round:
    """The result of one round.

    :ivar lost_verdicts: verdicts and other changes by this package that were acknowledged and are lost.
    :ivar written: the number of acknowledged changes.
    :ivar changes: the number of functions of PowerShell that succeeded.
    :ivar without_line: those that reported on the screen that they could not write their line to the log.
    :ivar lost_unlogged: those of them that changed nothing; ``verify`` has no line of them to report.
    :ivar failed: those that failed with a message on the screen, and changed nothing.
    :ivar lost_changes: those that succeeded, and whose change is lost.
    :ivar named: the number of lines that ``verify`` reports because the document lacks their effect.
    :ivar overwritten: the number of overwritten lines.
    :ivar misread: messages of readers that mistook a half-written document for damage.
    :ivar refused: reasons why runs could not record everything.
    """

    lost_verdicts: int = 0
    written: int = 0
    changes: int = 0
    without_line: int = 0
    lost_unlogged: int = 0
    failed: int = 0
    lost_changes: int = 0
    named: int = 0
    overwritten: int = 0
    misread: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def _run(state: Path, name: str, words: Words) -> None:
    # Far more checkpoints than a run makes: each could overwrite a change of PowerShell.
    run_log.INTERVAL = 0.0  # type: ignore[misc]  # changed in this process only
    run_log.SHARE = 1  # type: ignore[misc]  # as above
    run = run_at(state, name)
    run.open(no_check, {})
    entries = [outstanding(utc_now(), (name, str(number)), "pending") for number in range(1, _VERDICTS + 1)]
    run.plan(RunPlan(entries))
    for number in range(1, _VERDICTS + 1):
        run.verdict(Verdict((name, str(number)), passed=True))
        if run.failure is None:
            words.say(f"package {name} {number}")
        time.sleep(0.001)
    run.finish(0, {})
    words.say(f"run {run.failure}")


def _commands(state: Path, name: str, words: Words) -> None:
    sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115  # for as long as this process lives
    for number in range(1, _COMMANDS + 1):
        command = ["result", "-s", str(state), name, str(number), "--passed"]
        if number % 3 == 0:
            command = ["container", "-s", str(state), name, str(number)]
        if main(command) == 0:
            words.say(f"package {name} {number}")
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
            FileStore(state, notify=quiet).read()
        except MigrationStateError as error:
            words.say(f"misread {error}")
        time.sleep(0.001)


def _powershell(state: Path, flavour: str, pause: float, words: Words) -> None:
    sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115  # for as long as this process lives
    writer = Screen(state, flavour, pause, seed=1)
    for number in range(1, _CHANGES + 1):
        writer.log_was_locked = False
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
            word = "unlogged" if writer.log_was_locked else "powershell"
            words.say(f"{word} {number}")
        except PowerShellError:
            words.say("failed")
        time.sleep(0.001)


def _by_powershell(document: Document) -> set[int]:
    processes = [item["name"] for item in document.fields["native_processes_started"]]
    return {
        *written(document, "ps"),
        *(int(name.removeprefix("ps-")) for name in processes if name.startswith("ps-")),
    }


def play(state: Path, flavour: str, pause: float) -> Round:
    """Run PowerShell beside two runs, four writers on the command line, a completer and a reader."""
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
        # Read continuously: a full pipe would stop every writer.
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
    unlogged: set[int] = set()
    for line in said:
        match line.split(" ", 2):
            case ["package", name, number]:
                acknowledged.setdefault(name, set()).add(int(number))
            case ["powershell", number]:
                changed.add(int(number))
            case ["unlogged", number]:
                unlogged.add(int(number))
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
    found.without_line, found.lost_unlogged = len(unlogged), len(unlogged - _by_powershell(document))
    found.lost_changes = len(changed - _by_powershell(document))
    found.named = sum(problem.kind == "effect_missing" for problem in report.problems)
    found.overwritten = sum(problem.kind in _OVERWRITTEN for problem in report.problems)
    found.overwritten += sum(
        line.content is None and bool(line.raw.strip())
        for line in read_lines(state.with_name("migration-audit.log"))
        if not line.damage
    )
    return found


def _losses(found: Round) -> dict[str, int]:
    """Return the values that must be zero: losses of this package, and frequent or unreported others."""
    return {
        "verdicts lost": found.lost_verdicts,
        "lines overwritten": found.overwritten,
        "misread": len(found.misread),
        "runs refused": len(found.refused),
        "changes lost and not named": max(0, found.lost_changes - found.named),
        "changes lost too often": lost
        if (lost := found.lost_changes + found.lost_unlogged) > 1 + found.changes // 20
        else 0,
    }


_WAYS = [("7", 0.0), ("5.1", 0.0), ("7", 0.001), ("5.1", 0.001)]


@pytest.mark.parametrize(("flavour", "pause"), _WAYS)
def test_nothing_is_lost_beside_powershell(
    folder: Path,
    flavour: str,
    pause: float,
    rounds: Callable[[int, int], int],
    figures: Callable[[str], None],
) -> None:
    """No verdict is lost, no line overwritten, no document misread, and no lost change unreported."""
    total: Counter[str] = Counter()
    count = rounds(5, 125)
    for number in range(count):
        found = play(folder / str(number) / "migration-state.json", flavour, pause)
        assert not any(_losses(found).values()), found
        total.update({name: value for name, value in vars(found).items() if isinstance(value, int)})
    figures(
        f"PowerShell {flavour}, pause {pause} s, {count} rounds: verdicts lost 0 of {total['written']}, "
        f"changes lost {total['lost_changes']} of {total['changes']} (reported by verify: {total['named']}), "
        f"and {total['lost_unlogged']} of {total['without_line']} that said on the screen that they could "
        f"not write their line; {total['failed']} functions failed and said so; lines overwritten 0"
    )


def _do_nothing(_: AuditLogFile) -> None:
    """Do nothing instead of taking or releasing the lock on the log."""


_replace = DocumentFile.replace


def _replace_without_comparing(
    file: DocumentFile, document: Document, known: bytes | None, patience: float
) -> bytes | None:
    """Replace the document without checking that it is the one that was read."""
    with file.locked(patience) as digest:
        known = digest
    return _replace(file, document, known, patience)


@pytest.mark.parametrize("what", ["the lock on the log", "the check before replacing"])
def test_both_protections_are_needed(
    folder: Path, what: str, monkeypatch: pytest.MonkeyPatch, figures: Callable[[str], None]
) -> None:
    """Without one of the two protections, the same rounds show losses, so they would detect them."""
    if what == "the lock on the log":
        monkeypatch.setattr(AuditLogFile, "lock", _do_nothing)
        monkeypatch.setattr(AuditLogFile, "unlock", _do_nothing)
    else:
        monkeypatch.setattr(DocumentFile, "replace", _replace_without_comparing)
    losses: Counter[str] = Counter()
    number = 0
    while not losses and number < 100:
        number += 1
        try:
            losses += Counter(_losses(play(folder / str(number) / "migration-state.json", "7", 0.001)))
        except (AssertionError, StateDamagedError):
            # The chain is broken, for this process or for a writer that ends with an error. This counts as a
            # loss.
            losses["damaged"] += 1
    assert losses
    figures(f"without {what}: after {number} rounds {dict(losses)}")
