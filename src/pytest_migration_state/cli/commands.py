"""The commands, as plain functions: each gives its exit status, and its docstring is its help.

``core`` is loaded when a command runs and not before. Nothing here judges anything: the rules are those of ``core``, and
what it raises becomes an exit status in :mod:`~pytest_migration_state.cli.main`.
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext

from pytest_migration_state.cli import output

TYPE_CHECKING = False  # as in the package itself: typing is not loaded
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from typing import Any, BinaryIO, Final

    from pytest_migration_state.core.document import JsonObject
    from pytest_migration_state.core.tracker import MigrationTracker

#: What one ``apply`` takes: lines, and bytes in one of them.
LINES_LIMIT: Final = 100_000
LINE_LIMIT: Final = 1 << 20


class UsageError(Exception):
    """What was typed, or what was given to ``apply``, makes no sense; the message says so in one sentence."""


class LineError(Exception):
    """A line that was given to ``apply`` could not be carried out.

    :ivar number: the line's number, counted from 1.
    :ivar cause: what a single command would have raised.
    """

    def __init__(self, number: int, cause: Exception) -> None:
        super().__init__(number, cause)
        self.number, self.cause = number, cause


# --- commands that write ----------------------------------------------------------------------------------------------


def init(options: Namespace) -> int:
    """Begin a migration.

    A state that is there already is refused; --force sets it aside and begins anew. The audit log goes on.
    """
    return _write(options, f"Migration state initialized: {_path(options)}", operation="initialize", force=options.force)


def phase(options: Namespace) -> int:
    """Move the migration to a phase.

    One step at a time, from NotStarted to Completed; to RolledBack from every phase but NotStarted.
    Completed passes the gate: see 'gate'.
    """
    return _write(
        options,
        f"Phase set to '{options.phase}'",
        operation="set_phase",
        phase=options.phase,
        force=options.force,
        reason=options.reason,
        require=options.require,
        allow=options.allow,
    )


def container(options: Namespace) -> int:
    """Record that a container was removed."""
    sentence = f"Container '{options.name}' ({options.container_id}) marked as removed"
    return _write(options, sentence, operation="add_processed_container", name=options.name, container_id=options.container_id)


def data(options: Namespace) -> int:
    """Record where data was saved."""
    sentence = f"Data '{options.key}' preserved at '{options.backup_path}'"
    return _write(options, sentence, operation="add_preserved_data", key=options.key, backup_path=options.backup_path)


def process(options: Namespace) -> int:
    """Record that a native process was started."""
    return _write(
        options,
        f"Native process '{options.name}' started",
        operation="add_native_process",
        name=options.name,
        process_id=options.pid,
    )


def result(options: Namespace) -> int:
    """Record the verdict of a validation.

    It takes the place of an earlier verdict of the same component and test.
    """
    if options.error is not None and options.passed:
        raise UsageError("--error says why a test failed; leave it out, or say --failed")
    return _write(
        options,
        f"Test '{options.test_name}' for '{options.component}': {'PASSED' if options.passed else 'FAILED'}",
        operation="add_validation_result",
        component=options.component,
        test_name=options.test_name,
        passed=options.passed,
        error_message=options.error,
    )


def rollback(options: Namespace) -> int:
    """Say whether the migration can be rolled back."""
    return _write(
        options,
        f"Rollback set to {options.availability}",
        operation="set_rollback_availability",
        available=options.availability == "available",
    )


def error(options: Namespace) -> int:
    """Record an error of the migration."""
    return _write(options, f"Error recorded: {options.message}", operation="set_error", message=options.message)


def log(options: Namespace) -> int:
    """Write an entry of your own to the audit log."""
    return _write(
        options,
        f"Entry '{options.action}' written",
        operation="write_audit",
        action=options.action,
        details=options.details,
        level=options.level,
    )


def forget(options: Namespace) -> int:
    """Take a validation whose test no longer exists off the record."""
    return _write(
        options,
        f"Test '{options.test_name}' for '{options.component}' forgotten",
        operation="forget_validation",
        component=options.component,
        test_name=options.test_name,
        reason=options.reason,
    )


def apply(options: Namespace) -> int:
    """Carry out operations from a file or standard input: all of them or none.

    One JSON object a line, such as {"operation": "set_phase", "phase": "Validation"}: the methods of MigrationTracker
    that write, with their arguments. In the place of a policy, set_phase takes the lists "require" and "allow".
    """
    from pytest_migration_state.core.errors import MigrationStateError

    with _opened(options.file) as file:
        requests = dict(_requests(file, options.file))
    try:
        document = _tracker(options, create=True).commit(requests.values())
    except MigrationStateError as refusal:
        if refusal.position is None:
            raise
        raise LineError([*requests][refusal.position - 1], refusal) from refusal
    if options.json:
        output.json_bytes(document.encoded())
    else:
        output.lines([f"{len(requests)} operation{'' if len(requests) == 1 else 's'} applied; the phase is '{document.phase}'"])
    return 0


def import_backup(options: Namespace) -> int:
    """Check the backup that a manifest describes against its files, and record what was found.

    Each container of the backup script's backup-manifest.json is given a verdict, with the test name 'backup', and where
    that is passed its folder is recorded as preserved data. Every checksum is computed anew from the files; what the
    manifest says of its own success is never taken for it.
    Exit status 0 means that every backup is safe, 1 that one is not; both are recorded.
    """
    from pytest_migration_state.core.backup import check, read_manifest

    manifest = read_manifest(options.manifest)
    with output.progress("checking the backup") as progress:
        findings = check(manifest, options.root, progress)
    document = _tracker(options, create=True).commit_backups(findings)
    if options.json:
        output.json_bytes(document.encoded())
    else:
        from pytest_migration_state.cli import render

        output.lines(render.backups(findings))
    return 0 if all(finding.passed for finding in findings) else 1


def _write(options: Namespace, sentence: str, **request: Any) -> int:
    """Carry out one operation and print ``sentence``, or the document."""
    document = _tracker(options, create=True).commit([request])
    if options.json:
        output.json_bytes(document.encoded())
    else:
        output.lines([sentence])
    return 0


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
    """The lines of ``file`` that hold something, by number. All are read before the state is touched: a pipe may be slow."""
    from json import JSONDecodeError

    from pytest_migration_state.core.document import decode_object

    number = 0
    while raw := _line(file, path):
        number += 1
        if number > LINES_LIMIT:
            raise LineError(number, UsageError(f"{LINES_LIMIT:,} lines are the most that can be applied at once; give them in parts"))
        if len(raw.rstrip(b"\r\n")) > LINE_LIMIT:
            raise LineError(number, UsageError("it is longer than 1 MiB; shorten it"))
        if not raw.removeprefix(b"\xef\xbb\xbf").strip():
            continue
        try:
            yield number, decode_object(raw)
        except ValueError as refusal:
            what = f"{refusal.msg}, at character {refusal.pos + 1}" if isinstance(refusal, JSONDecodeError) else str(refusal)
            raise LineError(number, UsageError(f"it holds no operation as a JSON object ({what})")) from refusal


def _line(file: BinaryIO, path: str) -> bytes:
    try:
        return file.readline(LINE_LIMIT + 3)
    except OSError as refusal:
        raise UsageError(f"{path}: it cannot be read ({refusal.strerror})") from refusal


# --- commands that read -----------------------------------------------------------------------------------------------


def show(options: Namespace) -> int:
    """Show where the migration stands."""
    tracker = _tracker(options)
    document = tracker.read()
    if options.json:
        output.json_bytes(document.encoded())
        return 0
    from pytest_migration_state.cli import render

    output.lines(render.overview(document, tracker.context(document), tracker.audit_lines(render.LAST_ENTRIES)))
    return 0


def audit(options: Namespace) -> int:
    """Show the audit log, the oldest entry first."""
    tracker = _tracker(options)
    if not tracker.audit_log_path.exists():
        tracker.read()  # a state without a log is a warning, none at all an error
    entries = tracker.audit_lines(options.last)
    if options.json:
        output.json_bytes(entry.raw.removeprefix(b"\xef\xbb\xbf").strip() + b"\n" for entry in entries)
        return 0
    from pytest_migration_state.cli import render

    output.lines(render.entry(line) for line in entries)
    return 0


def gate(options: Namespace) -> int:
    """Say whether the gate to Completed is open, and if not, why.

    Exit status 0 means open, 1 shut.
    """
    from pytest_migration_state.core.gate import evaluate
    from pytest_migration_state.core.operations import gate_policy

    policy = gate_policy(options.require, options.allow)
    tracker = _tracker(options)
    document = tracker.read()
    verdict = evaluate(document, policy, tracker.context(document))
    if options.json:
        _print_json({"phase": document.phase.value, **verdict.to_object()})
    else:
        from pytest_migration_state.cli import render

        output.lines(render.gate(document.phase, verdict))
    return 0 if verdict.open else 1


def verify(options: Namespace) -> int:
    """Check the audit log's chain of hashes, and the document against the log.

    Exit status 0 means sound, 1 not.
    """
    report = _tracker(options).verify()
    if options.json:
        _print_json(report.to_object())
    else:
        from pytest_migration_state.cli import render

        output.lines(render.verification(report))
    return 0 if report.sound else 1


def powershell(options: Namespace) -> int:  # noqa: ARG001  # every command is given the options
    """Print the path of MigrationState.ps1, the PowerShell functions over this command line.

    A script loads them with:  . (migration-state powershell)
    """
    from pathlib import Path

    output.for_powershell(str(Path(__file__).parents[1] / "MigrationState.ps1"))
    return 0


def _print_json(value: JsonObject) -> None:
    from pytest_migration_state.core.document import encoded

    output.json_bytes([encoded(value, indent=2), b"\n"])


# --- the state --------------------------------------------------------------------------------------------------------


def _path(options: Namespace) -> str:
    path: str | None = options.state
    return path if path is not None else os.environ.get("MIGRATION_STATE") or "migration-state.json"


def _tracker(options: Namespace, *, create: bool = False) -> MigrationTracker:
    from pytest_migration_state.core.tracker import MigrationTracker

    return MigrationTracker(_path(options), create=create, notify=_warn)


def _warn(sentence: str) -> None:
    output.complain(f"warning: {sentence}")
