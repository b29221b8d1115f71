"""A command at a terminal: started in a pseudo-terminal, read while it runs, and interrupted."""

from __future__ import annotations

import os
import re
import select
import struct
import subprocess
import sys
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Self

if sys.platform != "win32":
    import fcntl
    import pty
    import termios

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: Sequences for a terminal: colours, movements, modes.
SEQUENCE = re.compile(r"\x1b(?:\[[0-9;?]*[a-zA-Z]|\][^\x07]*\x07)")
#: How long to wait for what a command prints, in seconds.
_PATIENCE = 60.0


class PseudoTerminal:
    """A terminal that a command runs at.

    :ivar printed: what it has printed so far.
    :ivar status: its exit status, once it has ended.
    """

    def __init__(
        self, folder: Path, *command: str, columns: int = 80, environment: Mapping[str, str] | None = None
    ) -> None:
        self._controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        removed = {"COLUMNS", "NO_COLOR", "FORCE_COLOR", "CI", "BUILD_NUMBER"}
        kept = {name: value for name, value in os.environ.items() if name not in removed}
        self.printed = ""
        self.status: int | None = None
        self._process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={**kept, "TERM": "xterm-256color", **(environment or {})},
            # The terminal is the one whose Ctrl-C interrupts it.
            preexec_fn=_take_terminal,  # noqa: PLW1509  # nothing else takes the terminal
        )
        os.close(terminal)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._controller)

    def wait_for(self, text: str) -> None:
        """Read until ``text`` is printed."""
        deadline = monotonic() + _PATIENCE
        while text not in self.printed:
            assert monotonic() < deadline, f"{text!r} is not in {self.printed!r}"
            assert self._read(), f"it ended without {text!r}: {self.printed!r}"

    def end(self) -> int:
        """Read everything, and return the exit status."""
        while self._read():
            pass
        self.status = self._process.wait(timeout=_PATIENCE)
        return self.status

    def type(self, keys: bytes) -> None:
        """Type keys; ``\\x03`` is Ctrl-C."""
        os.write(self._controller, keys)

    def _read(self) -> bool:
        """Read what is printed next. Return False at the end."""
        assert select.select([self._controller], [], [], _PATIENCE)[0], f"nothing more after {self.printed!r}"
        read = b""
        # Linux reports the end of the output as an error.
        with suppress(OSError):
            read = os.read(self._controller, 65_536)
        self.printed += read.decode(errors="replace").replace("\r\n", "\n")
        return bool(read)

    @property
    def lines(self) -> list[str]:
        """The lines that were printed, without colours and movements."""
        return SEQUENCE.sub("", self.printed).splitlines()


def _take_terminal() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def at_terminal(
    folder: Path, *command: str, columns: int = 80, environment: Mapping[str, str] | None = None
) -> PseudoTerminal:
    """Run a command (``python -m`` …) at a terminal to its end."""
    with PseudoTerminal(folder, *command, columns=columns, environment=environment) as terminal:
        terminal.end()
        return terminal
