"""``--lock-timeout``: how long a command waits for another process that holds the state."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from commandline import Run

_HOLDER = """
import sys, time
from pathlib import Path
from pytest_migration_state.storage.files.lock import StateLock
with StateLock(Path("migration-state.json.lock")).before(time.monotonic() + 10):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(run: Run, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds the state until its standard input is closed."""
    run("init")
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout
    assert process.stdout.readline().strip() == b"held"
    yield process
    process.communicate(timeout=30)


@pytest.mark.parametrize(
    "arguments",
    [
        ("error", "m", "--lock-timeout", "0.2"),
        ("--lock-timeout", "0.2", "error", "m"),
        ("error", "m", "--lock-timeout=0"),
        ("--lock-timeout", "60", "error", "m", "--lock-timeout", ".2"),
    ],
    ids=" ".join,
)
def test_a_command_gives_up_after_the_time_that_it_is_given(
    run: Run, holder: subprocess.Popen[bytes], arguments: tuple[str, ...]
) -> None:
    """While another process holds the state, the command waits as long as asked, and is refused with 3."""
    began = time.monotonic()
    status, out, err = run(*arguments)
    assert time.monotonic() - began < 30
    assert (status, out) == (3, "")
    assert err.count("\n") == 1
    assert f"process {holder.pid} " in err
    assert "still locked after 0" in err


def test_a_command_goes_on_when_the_state_is_free_in_time(run: Run, holder: subprocess.Popen[bytes]) -> None:
    """The command waits, and is done once the other process has let go."""
    holder.communicate(timeout=30)
    assert run("error", "m", "--lock-timeout", "30").status == 0


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "1e3", "1_0", "soon", "", "1.2.3", "9" * 20])
def test_what_is_no_number_of_seconds_is_refused(run: Run, text: str) -> None:
    """A number of seconds is not negative, finite and written plainly."""
    status, out, err = run("show", f"--lock-timeout={text}")
    assert (status, out) == (2, "")
    reason = "it must be a number of seconds, such as 5 or 0.5 (see 'migration-state show --help')"
    assert err == f"migration-state: error: argument --lock-timeout: '{text}' cannot be used: {reason}\n"
