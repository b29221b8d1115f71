"""SIGKILL at random times: everything acknowledged is kept, and no reader finds half a document.

The method is that of RocksDB's crash test: a writer reports each completed operation through a pipe, and
every reported operation must be found.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from processes import Words, start
from writers import assert_sound, read_over_and_over, tracker_at, write_as_run, write_by_api, written

from pytest_migration_state.storage.files.log_lines import read_lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: The number of rounds on one state, each beginning with the files that the killed writers left.
_ROUNDS_A_STATE = 10
_MORE_THAN_CAN_BE_WRITTEN = 100_000


def test_kills_at_random_times_lose_nothing(
    folder: Path, rounds: Callable[[int, int], int], figures: Callable[[str], None]
) -> None:
    """If two writers are killed, nothing acknowledged is lost, and a reader without the lock never fails."""
    chance = random.Random(4)
    total: Counter[str] = Counter()
    state = folder
    for number in range(rounds(150, 2000)):
        if number % _ROUNDS_A_STATE == 0:
            state = folder / str(number) / "migration-state.json"
            tracker_at(state).commit([])
        total += _round(state, number, chance)
        if number % _ROUNDS_A_STATE == _ROUNDS_A_STATE - 1:
            total["torn"] += sum("torn" in entry.name for entry in state.parent.iterdir())
            lines = read_lines(state.with_name("migration-audit.log"))
            total["recovered"] += sum(
                line.content is not None and line.content["action"] == "Recovered" for line in lines
            )
    assert total["acknowledged"] > 0
    assert total["reads"] > 0
    figures(
        f"{total['rounds']} rounds, {total['acknowledged']} writes acknowledged, {total['lost']} lost; "
        f"{total['unspoken']} there that were not acknowledged; {total['reads']} reads without the lock, "
        f"0 unreadable documents; {total['torn']} torn lines set aside"
    )


def _round(state: Path, number: int, chance: random.Random) -> Counter[str]:
    words = Words()
    acknowledged = {f"api-{number}": 0, f"run-{number}": 0}
    reader = start(partial(read_over_and_over, state, words))
    writers = [
        start(partial(_write, write, state, name, words))
        for write, name in zip(_WRITES, acknowledged, strict=True)
    ]
    # Sometimes before either has started, sometimes one long after the other.
    time.sleep(chance.choice([chance.uniform(0, 0.01), chance.uniform(0.01, 0.06)]))
    for writer in chance.sample(writers, 2):
        assert writer.kill() == -9
        time.sleep(chance.choice([0, chance.uniform(0, 0.01)]))
    reader.kill()
    found: Counter[str] = Counter(rounds=1)
    for word, *rest in (line.split(" ", 2) for line in words.heard()):
        assert word != "wrong", rest
        if word == "reads":
            found["reads"] += int(rest[0])
        else:
            acknowledged[word] = int(rest[0])
    words.close()
    document = tracker_at(state).read()
    for name, count in acknowledged.items():
        there = written(document, name)
        assert there == list(range(1, len(there) + 1))
        assert count <= len(there) <= count + 1
        found["acknowledged"] += count
        found["unspoken"] += len(there) - count
    # The next writer succeeds, and repairs the state.
    tracker_at(state).commit([])
    assert_sound(state)
    return found


def _write(
    write: Callable[[Path, str, int, Callable[[int], object]], None], state: Path, name: str, words: Words
) -> None:
    write(state, name, _MORE_THAN_CAN_BE_WRITTEN, lambda number: words.say(f"{name} {number}"))


def _plain_run(state: Path, name: str, count: int, done: Callable[[int], object]) -> None:
    """Write as a run without a plan: a plan of 100,000 tests would take the whole time."""
    write_as_run(state, name, count, done, planned=0)


_WRITES: tuple[Callable[[Path, str, int, Callable[[int], object]], None], ...] = (write_by_api, _plain_run)
