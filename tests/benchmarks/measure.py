"""Measurement of the CPU time of whole processes, in turn (A B A B …)."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class Usage(NamedTuple):
    """Resources used by one process and its children.

    :ivar seconds: CPU time, user and system together.
    :ivar peak: the largest resident memory of any one of them, in bytes.
    """

    seconds: float
    peak: int


#: All plugins are loaded by name and none automatically, so that other installed plugins cost nothing.
#: Bytecode is kept, as for an installed package. Otherwise every process would compile the checkout again,
#: but not its peers.
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | {
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
}


def run(command: Sequence[str], folder: Path) -> Usage:
    """Run ``command`` to its end.

    :raises RuntimeError: it failed, so its figure would be meaningless.
    """
    log = folder / "output.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=_ENVIRONMENT, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(
            f"{' '.join(command)} exited with {process.returncode}:\n"
            f"{log.read_text(errors='replace')[-2000:]}"
        )
    factor = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes
    return Usage(used.ru_utime + used.ru_stime, used.ru_maxrss * factor)


def in_turn(commands: Mapping[str, Sequence[str]], folder: Path, rounds: int) -> dict[str, list[Usage]]:
    """Run each command ``rounds`` times, in turn, so that changes of the machine's speed affect all alike."""
    found: dict[str, list[Usage]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            found[name].append(run(command, folder))
    return found


def seconds(usages: Sequence[Usage]) -> float:
    """Return the median CPU time."""
    return statistics.median(usage.seconds for usage in usages)


def wall(command: Sequence[str], folder: Path) -> float:
    """Return how long ``command`` takes, in seconds by the clock."""
    began = time.monotonic()
    run(command, folder)
    return time.monotonic() - began


def script(code: str, folder: Path, *arguments: str) -> float:
    """Run Python code in its own process, and return the figure that it prints as its last line."""
    return float(last_line(code, folder, *arguments))


def last_line(code: str, folder: Path, *arguments: str) -> str:
    """Run Python code in its own process, and return the last line that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=_ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"a benchmark script failed:\n{done.stderr[-2000:]}")
    return done.stdout.splitlines()[-1]


def median_of(code: str, folder: Path, rounds: int, *arguments: str) -> float:
    """Return the median figure of ``rounds`` runs of :func:`script`."""
    return statistics.median(script(code, folder, *arguments) for _ in range(rounds))
