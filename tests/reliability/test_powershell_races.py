"""Races of a run, commands and a completer against one or two PowerShells, for the same tests.

Whatever a writer was told is done stays, except for what two PowerShells do to each other; no test is green
whose last word was a failure. One race has a real PowerShell, if there is one on the path.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from beside_races import Deed, judge
from processes import Words, start
from writers import Screen, in_validation, no_check, quiet, run_at, tracker_at

from powershell_writer import PowerShellError
from pytest_migration_state.cli.main import main
from pytest_migration_state.domain.run_events import outstanding
from pytest_migration_state.domain.run_plan import RunPlan
from pytest_migration_state.domain.verdict import Verdict
from pytest_migration_state.errors import GateBlockedError, InvalidTransitionError, StateDamagedError
from pytest_migration_state.storage.files.store import FileStore
from pytest_migration_state.text import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable

    from beside_races import Kind

    from pytest_migration_state.tracking.run_writer import RunWriter

#: The tests of the run: PowerShell records results of them too.
_TESTS = 40
_COMMANDS = 6
_CHANGES = 40
#: How many races of each kind `.ci/deep` runs: ten minutes together with those of a real PowerShell.
_DEEP = 60
#: How long nobody may move a damaged document away, in seconds.
_PATIENCE = 120.0


class _Writer:
    """One writer of a race, in its own process: it tells the test what it did.

    :param longest: its longest pause, in seconds.
    """

    def __init__(self, state: Path, who: str, words: Words, longest: float = 0.01) -> None:
        self._who = who
        self._words = words
        self._longest = longest
        # Different in each race: the folder's name is.
        self.chance = random.Random(f"{state} {who}")

    def pause(self) -> None:
        time.sleep(self.chance.random() * self._longest)

    def tell(self, kind: Kind, about: tuple[str, ...], began: int, result: str = "done") -> None:
        deed = Deed(self._who, kind, about, began, time.monotonic_ns(), result)  # type: ignore[arg-type]  # a word
        self._words.say(deed.encoded())


def _run(state: Path, words: Words, longest: float = 0.01) -> None:
    writer = _Writer(state, "run", words, longest)
    run = run_at(state, "run")
    tests = [("run", str(number)) for number in range(_TESTS)]
    plan = RunPlan([outstanding(utc_now(), test, "pending") for test in tests])
    _when_readable(lambda: run.open(no_check, {}))
    _when_readable(lambda: run.plan(plan))
    for test in tests:
        passed = writer.chance.random() < 0.9
        began = time.monotonic_ns()
        run.verdict(Verdict(test, passed=passed))
        _until_written(run)
        writer.tell("passed" if passed else "failed", test, began)
        writer.pause()
    run.finish(0, {})
    _until_written(run)


def _when_readable(begin: Callable[[], object]) -> None:
    """Do something as soon as the document can be read: two PowerShells may have damaged it."""
    while True:
        try:
            begin()
        except StateDamagedError:
            time.sleep(0.05)
        else:
            return


def _until_written(run: RunWriter) -> None:
    """Try again while nobody has moved a document away that two PowerShells have damaged."""
    deadline = time.monotonic() + _PATIENCE
    while run.failure is not None:
        assert isinstance(run.failure, StateDamagedError), run.failure
        assert time.monotonic() < deadline, run.failure
        time.sleep(0.05)
        run.retry()


def _operate(state: Path) -> None:
    """Move a document away that two PowerShells have damaged, as its message says."""
    moved = 0
    while True:
        try:
            FileStore(state, notify=quiet).read()
        except StateDamagedError as error:
            if error.path == str(state) and "move it away" in str(error):
                moved += 1
                with suppress(FileNotFoundError):
                    state.rename(state.with_name(f"moved-{moved}"))
        time.sleep(0.01)


def _commands(state: Path, words: Words) -> None:
    sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115  # for as long as this process lives
    writer = _Writer(state, "commands", words)
    for number in range(_COMMANDS):
        kind: Kind = "container" if number % 2 else "passed"
        command, about = ["container"], ("ours", str(number))
        if kind == "passed":
            command, about = ["result", "--passed"], ("run", str(writer.chance.randrange(_TESTS)))
        began = time.monotonic_ns()
        status = main([*command, "-s", str(state), *about])
        # A damaged document is the only reason to fail.
        assert status in {0, 3}
        writer.tell(kind, about, began, "failed" if status else "done")
        writer.pause()


def _complete(state: Path, words: Words) -> None:
    writer = _Writer(state, "completer", words)
    tracker = tracker_at(state)
    while True:
        began = time.monotonic_ns()
        with suppress(GateBlockedError, InvalidTransitionError, StateDamagedError):
            tracker.commit([{"operation": "set_phase", "phase": "Completed"}])
            writer.tell("phase", ("Completed",), began)
        time.sleep(0.01)


def _powershell(state: Path, who: str, flavour: str, last: str, words: Words) -> None:
    """Record results of the run's tests and its own, containers, and phases.

    :param last: the phase that is set at the end; ``""`` for none.
    """
    sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115  # for as long as this process lives
    writer = _Writer(state, who, words)
    screen = Screen(state, flavour, writer.chance.choice([0.0, 0.001]), seed=1)

    def do(kind: Kind, about: tuple[str, ...], change: Callable[[], None]) -> None:
        screen.log_was_locked = False
        began = time.monotonic_ns()
        try:
            change()
            writer.tell(kind, about, began, "no line" if screen.log_was_locked else "done")
        except (PowerShellError, OSError, KeyError, TypeError):  # also where it has read parts of documents
            writer.tell(kind, about, began, "failed")
        writer.pause()

    for number in range(_CHANGES):
        if number % 4 == 0:
            about = (who, str(number))
            do("container", about, partial(screen.container, *about))
            continue
        passed = writer.chance.random() < 0.5
        test = (who, str(number)) if number % 4 == 1 else ("run", str(writer.chance.randrange(_TESTS)))
        do("passed" if passed else "failed", test, partial(screen.result, *test, str(passed)))
    if last:
        do("phase", (last,), partial(screen.phase, last, force=True))


def _heard(words: Words, writers: list[partial[None]], beside: list[partial[None]]) -> list[Deed]:
    """Run the writers to their end, and return what they and the processes beside them did."""
    children = [start(writer) for writer in writers]
    others = [start(other) for other in beside]
    said: list[str] = []
    for child in children:
        # Read continuously: a full pipe would stop every writer.
        while child.poll() is None:
            said += words.heard(0.01)
        assert child.status == 0
    time.sleep(0.05)  # for the completer, when the run has ended
    for other in others:
        other.kill()
    said += words.heard()
    words.close()
    return [Deed.decoded(line) for line in said]


def _race(state: Path, count: int, flavour: str, last: str) -> list[Deed]:
    in_validation(state).close()
    words = Words()
    writers = [partial(_run, state, words), partial(_commands, state, words)]
    writers += [
        partial(_powershell, state, f"ps-{number}", flavour, last * (number == 0), words)
        for number in range(count)
    ]
    return _heard(words, writers, [partial(_complete, state, words), partial(_operate, state)])


def _figures(total: Counter[str]) -> str:
    return (
        f"{total['ours']} changes of ours and {total['theirs']} of theirs, 0 lost, 0 false greens; "
        f"{total['overwritten']} overwritten by another PowerShell, {total['failed']} failed and said so, "
        f"{total['unsaid']} gone that said that their line is missing, {total['needless_reds']} needless reds"
    )


def _count(total: Counter[str], state: Path, deeds: list[Deed]) -> None:
    """Judge a race, and add its figures."""
    outcome = judge(state, deeds)
    assert outcome.must_be_empty == []
    total["ours"] += sum(not deed.is_theirs for deed in deeds)
    total["theirs"] += sum(deed.is_theirs and deed.result != "failed" for deed in deeds)
    total["failed"] += sum(deed.result == "failed" for deed in deeds)
    for name in ("overwritten", "unsaid", "needless_reds"):
        total[name] += getattr(outcome, name)


@pytest.mark.timeout(3600)  # for the long ones
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("flavour", ["7", "5.1"])
@pytest.mark.parametrize("races", [1, pytest.param(_DEEP, marks=pytest.mark.deep)])
def test_nothing_is_lost_and_nothing_is_falsely_green(
    folder: Path,
    count: int,
    flavour: str,
    races: int,
    rounds: Callable[[int, int], int],
    figures: Callable[[str], None],
) -> None:
    """Every second race ends with a rollback by PowerShell."""
    total: Counter[str] = Counter()
    for number in range(rounds(races, races * 10)):
        state = folder / str(number) / "migration-state.json"
        _count(total, state, _race(state, count, flavour, "RolledBack" * (number % 2)))
    figures(f"{count} PowerShell {flavour}: {_figures(total)}")


_SCRIPT = """
param($State, $Who, [int]$Changes, [int]$Tests)
$ErrorActionPreference = 'Stop'
$log = Join-Path (Split-Path $State) 'migration-audit.log'
$chance = [Random]::new()
foreach ($number in 1..$Changes) {
    $began = [Diagnostics.Stopwatch]::GetTimestamp()
    $now = Get-Date -Format o
    $kind, $about = 'container', @($Who, "$number")
    if ($number % 3) {
        $kind = @('passed', 'failed')[$chance.Next(2)]
        $about = @('run', "$($chance.Next($Tests))")
    }
    $result = 'done'
    try {
        $document = Get-Content -Raw -LiteralPath $State | ConvertFrom-Json
        if ($kind -eq 'container') {
            $item = [pscustomobject]@{ name = $about[0]; id = $about[1]; removed_at = $now }
            $document.docker_containers_removed = @($document.docker_containers_removed) + $item
            $action, $details = 'ContainerProcessed', "Container '$Who' ($number) marked as removed"
        } else {
            $item = [pscustomobject]@{
                component = $about[0]; test_name = $about[1]; passed = $kind -eq 'passed'
                error_message = ''; tested_at = $now
            }
            $document.validation_results = @($document.validation_results) + $item
            $action = 'ValidationResult'
            $details = "Test '$($about[1])' for 'run': $($kind.ToUpper())"
        }
        $document | ConvertTo-Json -Depth 10 | Set-Content -LiteralPath $State
        try {
            $line = @{ timestamp = $now; level = 'INFO'; action = $action; details = $details }
            Add-Content -LiteralPath $log -Value ($line | ConvertTo-Json -Compress)
        } catch { $result = 'no line' }
    } catch { $result = 'failed' }
    $ended = [Diagnostics.Stopwatch]::GetTimestamp()
    [Console]::Out.WriteLine((ConvertTo-Json -Compress @($Who, $kind, $about, $began, $ended, $result)))
}
"""


def _script_of_powershell(program: str, state: Path, words: Words) -> None:
    script = state.with_name("race.ps1")
    script.write_text(_SCRIPT, encoding="utf-8")
    done = subprocess.run(
        [program, "-NoProfile", "-NonInteractive", "-File", script, state, "ps", "60", str(_TESTS)],
        capture_output=True,
        text=True,
        check=True,
    )
    for line in done.stdout.splitlines():
        words.say(line)


_run_slowly = partial(_run, longest=0.05)


def _when_it_has_begun(run: Callable[[Path, Words], None], state: Path, words: Words) -> None:
    """Run something once a change of PowerShell is in the document: it takes a second to start."""
    while b'"ps"' not in state.read_bytes():
        time.sleep(0.01)
    run(state, words)


@pytest.mark.timeout(3600)  # as above
@pytest.mark.parametrize("races", [1, pytest.param(_DEEP // 2, marks=pytest.mark.deep)])
def test_nothing_is_lost_beside_a_script_of_powershell(
    folder: Path, races: int, rounds: Callable[[int, int], int], figures: Callable[[str], None]
) -> None:
    """The script is what operators write themselves: Get-Content, a change, Set-Content, Add-Content."""
    program = shutil.which("pwsh")
    if program is None:
        pytest.skip("pwsh is not on the path")
    total: Counter[str] = Counter()
    for number in range(rounds(races, races * 10)):
        state = folder / str(number) / "migration-state.json"
        in_validation(state).close()
        words = Words()
        writers = [partial(_script_of_powershell, program, state, words)]
        writers += [partial(_when_it_has_begun, run, state, words) for run in (_run_slowly, _commands)]
        _count(total, state, _heard(words, writers, [partial(_complete, state, words)]))
    figures(f"a script of PowerShell: {_figures(total)}")
