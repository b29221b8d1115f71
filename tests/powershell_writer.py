#!/usr/bin/env python3
"""Stand-in for the PowerShell functions that write the migration state, for tests.

It changes the two files the way PowerShell does: it takes no state lock, reads the whole document, changes
it, truncates the file and writes it again in place, then adds one line to the audit log at the offset where
the log ended shortly before. Format, key order, escapes and system calls were checked
against PowerShell 7.6 on Linux and against documents that Windows PowerShell 5.1 wrote (README.md here).

    powershell_writer.py STATE COMMAND [ARGUMENT...]
                         [--flavour 7|5.1] [--pause SECONDS] [--seed N] [--times N]

    initialize · phase NAME [--force] · container NAME ID · data KEY PATH · process NAME [PID]
    result COMPONENT TEST true|false [MESSAGE] · rollback true|false · error MESSAGE
    log ACTION DETAILS [LEVEL]

--pause sleeps in each window in which another writer can come between (after reading the document, after
truncating it, between the pieces, between measuring the log and writing to it). --times repeats the command
and adds -1, -2, ... to its first argument. Where PowerShell throws, the exit status is 1, with one line on
standard error.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import random
import re
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

TRANSITIONS = {
    "NotStarted": ["BackupInProgress"],
    "BackupInProgress": ["ContainerTermination", "RolledBack"],
    "ContainerTermination": ["NativeDeployment", "RolledBack"],
    "NativeDeployment": ["Validation", "RolledBack"],
    "Validation": ["Completed", "RolledBack"],
    "Completed": ["RolledBack"],
    "RolledBack": [],
}
PIECE = 4096  # the size of one pwrite() of .NET
ISO_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")


class PowerShellError(Exception):
    """An error that the PowerShell function throws."""


def now() -> str:
    """`Get-Date -Format o`: local time, seven digits, offset."""
    local = datetime.now().astimezone()
    return f"{local:%Y-%m-%dT%H:%M:%S}.{local.microsecond:06d}{random.randrange(10)}{_offset(local)}"


def _offset(moment: datetime) -> str:
    return f"{moment:%z}"[:3] + ":" + f"{moment:%z}"[3:5]


# --- JSON as PowerShell prints it ---------------------------------------------------------------------------


def _string(text: str, flavour: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    for character in "\u0085\u2028\u2029" if flavour == "7" else "\u0085\u2028\u2029'<>&":
        quoted = quoted.replace(character, f"\\u{ord(character):04x}")
    return quoted


def to_powershell_7(value: Any, indent: int = 0) -> str:
    """Return `ConvertTo-Json` of PowerShell 7: two spaces, empty containers on one line."""
    inner, outer = " " * (indent + 2), " " * indent
    if isinstance(value, dict) and value:
        items = [f"{inner}{_string(k, '7')}: {to_powershell_7(v, indent + 2)}" for k, v in value.items()]
        return "{\n" + ",\n".join(items) + f"\n{outer}}}"
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(inner + to_powershell_7(v, indent + 2) for v in value) + f"\n{outer}]"
    return _string(value, "7") if isinstance(value, str) else json.dumps(value)


def to_powershell_51(value: Any, column: int = 0) -> str:
    """Return `ConvertTo-Json` of Windows PowerShell 5.1: aligned with the bracket, two spaces after `:`."""
    inner, outer = " " * (column + 4), " " * column
    if isinstance(value, dict):
        items = []
        for key, item in value.items():
            head = f"{inner}{_string(key, '5.1')}:  "
            items.append(head + to_powershell_51(item, len(head)))
        return "{\n" + ",\n".join(items) + f"\n{outer}}}"
    if isinstance(value, list):
        return "[\n" + ",\n".join(inner + to_powershell_51(v, column + 4) for v in value) + f"\n{outer}]"
    return _string(value, "5.1") if isinstance(value, str) else json.dumps(value)


def _as_date(value: Any) -> Any:
    """Return strings that are ISO dates in the notation of PowerShell 7, which reads them as dates."""
    if isinstance(value, dict):
        return {key: _as_date(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_date(item) for item in value]
    if not isinstance(value, str) or not (match := ISO_DATE_TIME.fullmatch(value)):
        return value
    fraction, zone = (match[1] or "").rstrip("0").rstrip("."), match[2]
    moment = datetime.fromisoformat(value)
    if zone and zone != "Z":
        moment = moment.astimezone()
        zone = _offset(moment)
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}{zone or ''}"


# --- files as PowerShell treats them ------------------------------------------------------------------------


class PowerShellWriter:
    def __init__(
        self, path: str | os.PathLike[str], flavour: str = "7", pause: float = 0.0, seed: int | None = None
    ) -> None:
        self.path = Path(path)
        self.log = self.path.parent / "migration-audit.log"
        self.flavour, self.pause, self.random = flavour, pause, random.Random(seed)

    def _open(self, path: Path, flags: int) -> int:
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise PowerShellError(
                f"The process cannot access the file '{path}' because it is being used by another process."
            ) from None
        return descriptor

    def read(self) -> dict[str, Any]:
        if not self.path.exists():
            raise PowerShellError("Migration state not found. Please initialize first.")
        descriptor = self._open(self.path, os.O_RDONLY)
        with os.fdopen(descriptor, "rb") as file:
            text = file.read().decode("utf-8-sig", "replace")
        try:
            document = json.loads(text)
        except ValueError as error:
            raise PowerShellError(f"Failed to load migration state: {error}") from None
        read: dict[str, Any] = _as_date(document) if self.flavour == "7" else document
        return read

    def _write(self, document: dict[str, Any]) -> None:
        if self.flavour == "7":
            content = (to_powershell_7(document) + "\n").encode()
        else:
            content = b"\xef\xbb\xbf" + (to_powershell_51(document) + "\n").replace("\n", "\r\n").encode()
        descriptor = self._open(self.path, os.O_WRONLY | os.O_CREAT)
        os.ftruncate(descriptor, 0)
        for offset in range(0, len(content), PIECE):
            time.sleep(self.pause)
            os.pwrite(descriptor, content[offset : offset + PIECE], offset)
        os.close(descriptor)

    def write_audit(self, action: str, details: str, level: str = "INFO") -> None:
        entry = self._hashtable(timestamp=now(), level=level, action=action, details=details)
        line = (
            "{"
            + ",".join(f"{_string(k, self.flavour)}:{_string(v, self.flavour)}" for k, v in entry.items())
            + "}"
        )
        content = (line + ("\n" if self.flavour == "7" else "\r\n")).encode()
        try:
            descriptor = self._open(self.log, os.O_RDWR | os.O_CREAT)
        except PowerShellError as error:  # an error on the screen; the function continues
            print(error, file=sys.stderr)
            return
        end = os.fstat(descriptor).st_size
        time.sleep(self.pause)
        if self.flavour == "5.1" and end == 0:
            content = b"\xef\xbb\xbf" + content
        os.pwrite(descriptor, content, end)
        os.close(descriptor)

    def _hashtable(self, **items: Any) -> dict[str, Any]:
        """Return a PowerShell hashtable, whose order is not defined."""
        keys = list(items)
        self.random.shuffle(keys)
        return {key: items[key] for key in keys}

    def _change(self, action: str, details: str, **changes: Any) -> None:
        document = self.read()
        time.sleep(self.pause)
        for key, value in changes.items():
            document[key] = value(document.get(key)) if callable(value) else value
        document["last_updated"] = now()
        self._write(self._hashtable(**document))
        self.write_audit(action, details)

    @staticmethod
    def _plus(item: dict[str, Any]) -> Any:
        """Return `$list += @{...}`: an existing list grows; otherwise the result is only the item."""
        return lambda old: item if old is None else [*old, item]

    # --- the functions --------------------------------------------------------------------------------------

    def initialize(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        metadata = self._hashtable(version="1.0", migration_type="docker_to_native", platform="windows")
        self._write(
            self._hashtable(
                phase="NotStarted", started_at=now(), completed_at=None, last_updated=now(),
                docker_containers_removed=[], data_preserved={}, native_processes_started=[],
                validation_results=[], rollback_available=True, error=None, metadata=metadata,
            )
        )  # fmt: skip
        self.write_audit("Initialize", "Migration state initialized")

    def phase(self, name: str, force: bool = False) -> None:
        current = self.read()["phase"]
        if not force and name not in TRANSITIONS.get(current, []):
            allowed = ", ".join(TRANSITIONS.get(current, []))
            raise PowerShellError(
                f"Invalid phase transition from '{current}' to '{name}'. Valid transitions: {allowed}"
            )
        ended = {"completed_at": now()} if name in ("Completed", "RolledBack") else {}
        self._change("PhaseTransition", f"Transitioned from '{current}' to '{name}'", phase=name, **ended)

    def container(self, name: str, container_id: str) -> None:
        item = self._hashtable(name=name, id=container_id, removed_at=now())
        self._change(
            "ContainerProcessed",
            f"Container '{name}' ({container_id}) marked as removed",
            docker_containers_removed=self._plus(item),
        )

    def data(self, key: str, path: str) -> None:
        self._change(
            "DataPreserved",
            f"Data '{key}' preserved at '{path}'",
            data_preserved=lambda old: self._hashtable(**{**(old or {}), key: path}),
        )

    def process(self, name: str, pid: str = "0") -> None:
        known = {"process_id": int(pid)} if int(pid) > 0 else {}
        item = self._hashtable(name=name, started_at=now(), **known)
        self._change(
            "ProcessStarted", f"Native process '{name}' started", native_processes_started=self._plus(item)
        )

    def result(self, component: str, test_name: str, passed: str, message: str = "") -> None:
        ok = passed.lower() == "true"
        item = self._hashtable(
            component=component, test_name=test_name, passed=ok, error_message=message, tested_at=now()
        )
        outcome = "PASSED" if ok else "FAILED"
        details = f"Test '{test_name}' for '{component}': {outcome}"
        self._change("ValidationResult", details, validation_results=self._plus(item))

    def rollback(self, available: str) -> None:
        yes = available.lower() == "true"
        words = "available" if yes else "unavailable"
        self._change("RollbackAvailability", f"Rollback set to {words}", rollback_available=yes)

    def error(self, message: str) -> None:
        self._change("Error", message, error=self._hashtable(message=message, occurred_at=now()))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("state")
    parser.add_argument(
        "command",
        choices=["initialize", "phase", "container", "data", "process", "result", "rollback", "error", "log"],
    )
    parser.add_argument("arguments", nargs="*")
    parser.add_argument("--force", action="store_true")
    parser.add_argument("--flavour", choices=["7", "5.1"], default="7")
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--times", type=int)
    options = parser.parse_args()
    writer = PowerShellWriter(options.state, options.flavour, options.pause, options.seed)
    function = writer.write_audit if options.command == "log" else getattr(writer, options.command)
    keywords: dict[str, Any] = {"force": True} if options.force else {}
    failed = 0
    for number in range(1, (options.times or 1) + 1):
        arguments = list(options.arguments)
        if options.times and arguments:
            arguments[0] += f"-{number}"
        try:
            function(*arguments, **keywords)
        except PowerShellError as error:
            print(error, file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
