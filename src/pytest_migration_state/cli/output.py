"""What reaches a terminal, a pipe or a CI service's log: text made harmless, or JSON as bytes."""

from __future__ import annotations

import io
import os
import sys
from contextlib import contextmanager, suppress
from time import monotonic

TYPE_CHECKING = False  # as in the package itself: typing is not loaded
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Final, TextIO

#: How often progress is shown, in seconds.
_PROGRESS_INTERVAL: Final = 0.2
#: Back to the start of the line, and clear it: ECMA-48's EL.
_CLEARED: Final = "\r\x1b[K"


class OutputError(Exception):
    """Standard output takes no more; the message says why."""


def prepare() -> None:
    """Make sure that no character of a sentence can fail in the terminal's encoding."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def lines(texts: Iterable[str]) -> None:
    """Print each text on a line of its own, whatever is in it."""
    from pytest_migration_state.core.text import printable

    _write("".join(f"{printable(text)}\n" for text in texts))


def json_bytes(pieces: Iterable[bytes]) -> None:
    """Print JSON in UTF-8, whatever the locale."""
    _write(pieces)


def flush() -> None:
    """Make sure that what was printed has arrived."""
    _write("")


def complain(*texts: str) -> None:
    """Print each text on a line of its own on standard error, whatever is in it."""
    from pytest_migration_state.core.text import printable

    # Nobody can be told that standard error is gone.
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write("".join(f"{printable(text)}\n" for text in texts))
        sys.stderr.flush()


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """What shows a person at a terminal how many bytes of how many are done; ``None`` where nobody looks."""
    terminal = sys.stderr
    if terminal is None or not terminal.isatty():
        yield None
        return
    shown_at = 0.0

    def show(done: int, total: int) -> None:
        nonlocal shown_at
        if (now := monotonic()) - shown_at >= _PROGRESS_INTERVAL:
            shown_at = now
            with suppress(OSError, ValueError):
                terminal.write(f"\r{what}: {done / 1e6:,.0f} of {total / 1e6:,.0f} MB ")
                terminal.flush()

    try:
        yield show
    finally:
        with suppress(OSError, ValueError):
            terminal.write(_CLEARED)
            terminal.flush()


def for_powershell(text: str) -> None:
    """Print a line in the encoding in which PowerShell reads what a program prints: on Windows the console's."""
    if sys.platform == "win32" and isinstance(sys.stdout, io.TextIOWrapper):
        import ctypes

        # Python takes the ANSI code page for a pipe; a user's name in the path could not be read then.
        if code_page := ctypes.windll.kernel32.GetConsoleOutputCP():
            sys.stdout.reconfigure(encoding="utf-8" if code_page == 65001 else f"cp{code_page}")
    _write(f"{text}\n")


def _write(content: str | Iterable[bytes]) -> None:
    if sys.stdout is None:  # it was closed before we were started
        return
    try:
        if isinstance(content, str):
            sys.stdout.write(content)
        else:
            sys.stdout.buffer.writelines(content)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has seen enough, as head(1) does. What the command found or did stays its exit status.
        _silence(sys.stdout)
    except OSError as error:
        _silence(sys.stdout)
        raise OutputError(f"standard output cannot be written ({error.strerror})") from error


def _silence(stream: TextIO) -> None:
    """Lead the stream nowhere, so that the interpreter does not fail on it once more at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
