"""Output to a terminal, a pipe or the log of a CI service: printable text, or JSON as bytes."""

from __future__ import annotations

import io
import os
import sys
from contextlib import contextmanager, suppress
from time import monotonic

TYPE_CHECKING = False  # type checkers read it as typing's, which is not loaded: --help would pay for it
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Final, TextIO

#: How often progress is shown, in seconds.
_PROGRESS_INTERVAL: Final = 0.2
#: Return to the start of the line and clear it (EL of ECMA-48).
_CLEARED: Final = "\r\x1b[K"


class OutputError(Exception):
    """Writing to standard output failed."""


def prepare() -> None:
    """Escape characters that the terminal's encoding does not have, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def lines(texts: Iterable[str]) -> None:
    """Print each text on a line of its own, made printable."""
    from pytest_migration_state.text import to_printable

    _write("".join(f"{to_printable(text)}\n" for text in texts))


def raw(pieces: Iterable[bytes]) -> None:
    """Print bytes as they are, whatever the locale."""
    _write(pieces)


def json_pieces(pieces: Iterable[bytes]) -> None:
    """Print JSON in ASCII: no code page can garble it, and no terminal takes it for an instruction."""
    from pytest_migration_state.json_codec import in_ascii

    raw(map(in_ascii, pieces))


def json_line(value: object) -> None:
    """Print a JSON value in ASCII on one line."""
    from pytest_migration_state.json_codec import to_json_bytes

    json_pieces([to_json_bytes(value), b"\n"])


def flush() -> None:
    """Flush standard output."""
    _write("")


def complain(*texts: str) -> None:
    """Print each text on a line of its own on standard error, made printable."""
    from pytest_migration_state.text import to_printable

    # There is nowhere to report that standard error is closed.
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write("".join(f"{to_printable(text)}\n" for text in texts))
        sys.stderr.flush()


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """Yield a progress callback (bytes done, bytes in all); ``None`` if stderr is not a terminal."""
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
    """Print a line in the encoding in which PowerShell reads it: on Windows that of the console."""
    if sys.platform == "win32" and isinstance(sys.stdout, io.TextIOWrapper):
        import ctypes

        # Python would use the ANSI code page for a pipe, and PowerShell could not read a user's name in the
        # path.
        if code_page := ctypes.windll.kernel32.GetConsoleOutputCP():
            sys.stdout.reconfigure(encoding="utf-8" if code_page == 65001 else f"cp{code_page}")
    _write(f"{text}\n")


def _write(content: str | Iterable[bytes]) -> None:
    if sys.stdout is None:  # it was closed before this process was started
        return
    try:
        if isinstance(content, str):
            sys.stdout.write(content)
        else:
            sys.stdout.buffer.writelines(content)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader stopped reading, as head(1) does. The exit status stays that of the command.
        _silence(sys.stdout)
    except OSError as error:
        _silence(sys.stdout)
        raise OutputError(f"standard output cannot be written ({error.strerror})") from error


def _silence(stream: TextIO) -> None:
    """Redirect the stream to nowhere, so that the interpreter does not fail on it again at its exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
