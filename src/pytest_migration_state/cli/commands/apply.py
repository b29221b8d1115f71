"""The command that carries out many operations at once."""

from __future__ import annotations

import sys
from contextlib import nullcontext

from pytest_migration_state.cli.arguments import add_json
from pytest_migration_state.cli.context import report, tracker_of
from pytest_migration_state.cli.errors import LineError, UsageError
from pytest_migration_state.cli.registry import command

TYPE_CHECKING = False  # type checkers read it as typing's, which is not loaded: --help would pay for it
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from typing import BinaryIO, Final

    from pytest_migration_state.types import JsonObject

#: The most lines that one ``apply`` takes.
LINES_LIMIT: Final = 100_000
#: The longest line that it takes, in bytes.
LINE_LIMIT: Final = 64 << 20


def _apply_arguments(parser: ArgumentParser) -> None:
    add_json(parser, "print the state document as it is afterwards")
    help_text = "the operations; standard input if '-' or not given"
    parser.add_argument("file", metavar="FILE", nargs="?", default="-", help=help_text)


@command(
    "apply",
    "operations.jsonl --json",
    "-",
    powershell="every function that writes",
    arguments=_apply_arguments,
)
def apply(options: Namespace) -> int:
    """Carry out operations from a file or standard input: all of them or none.

    One JSON object a line, such as {"operation": "set_phase", "phase": "Validation"}: the methods of
    MigrationTracker that write, with their arguments. In place of a policy, set_phase takes the lists
    "require" and "allow".
    """
    from pytest_migration_state.errors import MigrationStateError
    from pytest_migration_state.text import counted

    with _opened(options.file) as file:
        requests = dict(_requests(file, options.file))
    try:
        document = tracker_of(options, create=True).commit(requests.values())
    except MigrationStateError as refusal:
        if refusal.position is None:
            raise
        raise LineError([*requests][refusal.position - 1], refusal) from refusal
    applied = counted(len(requests), "operation")
    return report(options, document, f"{applied} applied; the phase is '{document.phase}'")


def _opened(path: str) -> AbstractContextManager[BinaryIO]:
    if path == "-":
        if sys.stdin is None:
            raise UsageError("standard input is closed; name a file")
        return nullcontext(sys.stdin.buffer)
    from pathlib import Path

    try:
        return Path(path).open("rb")
    except OSError as refusal:
        raise UsageError(f"{path}: it cannot be read ({refusal.strerror})") from refusal


def _requests(file: BinaryIO, path: str) -> Iterator[tuple[int, JsonObject]]:
    """Yield the lines of ``file`` that are not empty, by number. All are read before the state is touched."""
    from json import JSONDecodeError

    from pytest_migration_state.json_codec import decode_object, strip_bom

    number = 0
    while raw := _line(file, path):
        number += 1
        if number > LINES_LIMIT:
            reason = f"{LINES_LIMIT:,} lines are the most that can be applied at once; split the input"
            raise LineError(number, UsageError(reason))
        if len(raw.rstrip(b"\r\n")) > LINE_LIMIT:
            raise LineError(number, UsageError(f"it is longer than {LINE_LIMIT >> 20} MiB; shorten it"))
        if not strip_bom(raw):
            continue
        try:
            yield number, decode_object(raw)
        except ValueError as refusal:
            what = str(refusal)
            if isinstance(refusal, JSONDecodeError):
                what = f"{refusal.msg}, at character {refusal.pos + 1}"
            raise LineError(
                number, UsageError(f"it is not an operation as a JSON object ({what})")
            ) from refusal


def _line(file: BinaryIO, path: str) -> bytes:
    try:
        return file.readline(LINE_LIMIT + 3)
    except OSError as refusal:
        raise UsageError(f"{path}: it cannot be read ({refusal.strerror})") from refusal
