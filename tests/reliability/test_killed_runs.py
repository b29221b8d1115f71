"""A pytest run killed at a random time, then finished by a second run."""

from __future__ import annotations

import os
import random
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest
from processes import start
from writers import assert_sound, quiet

from pytest_migration_state.errors import StateNotFoundError
from pytest_migration_state.storage.files.store import FileStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_migration_state.domain.document import Document

_SUITE = """
import time
import pytest

@pytest.mark.migration_component("hive")
@pytest.mark.parametrize("number", range(24))
def test_hive(number):
    time.sleep(0.002)
    assert number % 5

@pytest.mark.migration_component("store", "queue")
@pytest.mark.parametrize("number", range(8))
def test_both(number):
    time.sleep(0.001)

@pytest.mark.xfail
@pytest.mark.migration_component("queue")
def test_expected():
    raise RuntimeError

@pytest.fixture
def broken():
    yield
    raise RuntimeError

@pytest.mark.migration_component("queue")
def test_broken_after(broken):
    pass
"""
_VERDICTS = 24 + 8 * 2 + 2


def _run(folder: Path, state: Path) -> None:
    os.chdir(folder)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    # Loading every installed plugin would take longer than everything else.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    plugins = ["-p", "pytest_migration_state.plugin", "-p", "no:cacheprovider"]
    os._exit(
        int(pytest.main([*plugins, "-c", "empty.toml", f"--migration-state={state}", "suite_checks.py"]))
    )


def _verdicts(document: Document) -> dict[tuple[str, str], tuple[bool, str, str | None]]:
    return {
        key: (verdict["passed"], verdict["outcome"], verdict["error_message"])
        for key, verdict in document.verdicts.items()
    }


def test_killed_run_is_finished_by_another(
    folder: Path, rounds: Callable[[int, int], int], figures: Callable[[str], None]
) -> None:
    """After the second run, the verdicts equal those of a run that was not killed: nothing is outstanding."""
    (folder / "suite_checks.py").write_text(_SUITE)
    (folder / "empty.toml").write_text("[pytest]\n")
    began = time.monotonic()
    whole = folder / "whole" / "migration-state.json"
    assert start(partial(_run, folder, whole)).wait() == 1
    seconds = time.monotonic() - began
    expected = _verdicts(FileStore(whole, notify=quiet).read())
    assert len(expected) == _VERDICTS
    chance = random.Random(8)
    killed_with: list[int] = []
    for number in range(rounds(50, 1000)):
        state = folder / str(number) / "migration-state.json"
        run = start(partial(_run, folder, state))
        if number % 5:
            _await_plan(state)
        time.sleep(chance.uniform(0, seconds if number % 5 == 0 else seconds / 2))
        if run.kill() == -9:
            killed_with.append(_left(state, expected))
        assert start(partial(_run, folder, state)).wait() == 1
        document = FileStore(state, notify=quiet).read()
        assert _verdicts(document) == expected
        assert not document.outstanding
        assert_sound(state)
    some = sum(0 < count < _VERDICTS for count in killed_with)
    figures(
        f"{number + 1} runs of {_VERDICTS} verdicts killed within {seconds:.2f} s, "
        f"{some} of them between verdicts: each completed by a second run"
    )


def _await_plan(state: Path) -> None:
    log, deadline = state.with_name("migration-audit.log"), time.monotonic() + 20
    while not (log.exists() and b"ValidationPlanned" in log.read_bytes()):
        assert time.monotonic() < deadline
        time.sleep(0.001)


def _left(state: Path, expected: dict[tuple[str, str], tuple[bool, str, str | None]]) -> int:
    """Return the number of verdicts that a killed run left.

    They must be correct and, if there are any, all others must be outstanding.
    """
    try:
        document = FileStore(state, notify=quiet).read()
    except StateNotFoundError:
        return 0
    verdicts = _verdicts(document)
    assert verdicts.items() <= expected.items()
    if verdicts:
        assert verdicts.keys() | document.outstanding.keys() == expected.keys()
    return len(verdicts)
