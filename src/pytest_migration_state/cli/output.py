"""Output to a terminal, a pipe or the log of a CI service: printable text, or JSON as bytes."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import contextmanager, suppress

TYPE_CHECKING = False  # type checkers read it as typing's, which is not loaded: --help would pay for it
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TextIO

    from pytest_migration_state.reports.blocks import Block, Form


class OutputError(Exception):
    """Writing to standard output failed."""


def prepare() -> None:
    """Escape characters that the terminal's encoding does not have, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def lines(texts: Iterable[str]) -> bool:
    """Print each text on a line of its own, made printable.

    :returns: False if nobody reads any more.
    """
    from pytest_migration_state.text import to_printable

    return _write("".join(f"{to_printable(text)}\n" for text in texts))


def report(blocks_of: Callable[[Form], Iterable[Block]], *, is_full: bool = False) -> bool:
    """Print a report for people: laid out for a terminal, or as plain text for a pipe or a file.

    ``FORCE_COLOR`` colours a pipe too (see https://force-color.org); nothing else changes by it.

    :param blocks_of: returns the report in a form.
    :param is_full: whether every blocker is shown, with the details of failures.
    :returns: False if nobody reads any more.
    """
    if not is_terminal() and not os.environ.get("FORCE_COLOR"):
        from pytest_migration_state.reports.blocks import Form
        from pytest_migration_state.reports.plain import plain

        form = Form(is_full=is_full)
        return lines(plain(blocks_of(form), form))
    from pytest_migration_state.reports.terminal import Terminal

    if sys.stdout is None:  # it was closed before this process was started
        return True
    terminal = Terminal(sys.stdout, is_full=is_full)
    with writing():
        terminal.print(blocks_of(terminal.form))
        return True
    return False


def is_terminal() -> bool:
    """Return True if standard output is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def raw(pieces: Iterable[bytes]) -> bool:
    """Print bytes as they are, whatever the locale.

    :returns: False if nobody reads any more.
    """
    return _write(pieces)


def json_pieces(pieces: Iterable[bytes]) -> bool:
    """Print JSON in ASCII: no code page can garble it, and no terminal takes it for an instruction.

    :returns: False if nobody reads any more.
    """
    from pytest_migration_state.json_codec import in_ascii

    return raw(map(in_ascii, pieces))


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


def _is_watched() -> bool:
    """Return True if somebody sees what is going on: standard error is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """Yield a progress callback (bytes done, bytes in all); ``None`` if nobody sees it."""
    if not _is_watched():
        yield None
        return
    from pytest_migration_state.reports.terminal import Terminal

    with Terminal(sys.stderr).progress(what) as show:
        yield show


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show that work is going on whose end is not known, if somebody sees it."""
    if not _is_watched():
        yield
        return
    from pytest_migration_state.reports.terminal import Terminal

    with Terminal(sys.stderr).working(what):
        yield


def for_powershell(text: str) -> None:
    """Print a line in the encoding in which PowerShell reads it: on Windows that of the console."""
    if sys.platform == "win32" and isinstance(sys.stdout, io.TextIOWrapper):
        import ctypes

        # Python would use the ANSI code page for a pipe, and PowerShell could not read a user's name in the
        # path.
        if code_page := ctypes.windll.kernel32.GetConsoleOutputCP():
            sys.stdout.reconfigure(encoding="utf-8" if code_page == 65001 else f"cp{code_page}")
    _write(f"{text}\n")


def _write(content: str | Iterable[bytes]) -> bool:
    """Write to standard output. Return False if nobody reads it any more."""
    if sys.stdout is None:  # it was closed before this process was started
        return True
    with writing():
        if isinstance(content, str):
            sys.stdout.write(content)
        else:
            sys.stdout.buffer.writelines(content)
        sys.stdout.flush()
        return True
    return False


@contextmanager
def writing() -> Iterator[None]:
    """Turn an error of writing to standard output into an :class:`OutputError`.

    If nobody reads any more, as after head(1), the rest of the context is left out without an error.
    """
    try:
        yield
    except OSError as error:
        _silence(sys.stdout)
        # The exit status stays that of the command.
        if not _is_gone(error):
            raise OutputError(f"standard output cannot be written ({error.strerror})") from error


def _is_gone(error: OSError) -> bool:
    """Return True if an error says that nobody reads any more: the pipe is closed, or the terminal is."""
    # Windows reports a closed pipe as an invalid argument.
    is_closed_pipe = sys.platform == "win32" and error.errno == errno.EINVAL
    return isinstance(error, BrokenPipeError) or is_closed_pipe


def _silence(stream: TextIO) -> None:
    """Redirect the stream to nowhere, so that the interpreter does not fail on it again at its exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
