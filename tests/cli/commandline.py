"""The command line for tests: in this process where possible, otherwise as a separate process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from pathlib import Path


class Outcome(NamedTuple):
    """The result of a command: exit status, standard output and standard error."""

    status: int
    out: str
    err: str


class Run(Protocol):
    """Run the command line in this process, in the test's folder."""

    def __call__(self, *arguments: str, stdin: bytes = b"") -> Outcome: ...


class Start(Protocol):
    """Run the command line as a separate process, in the test's folder."""

    def __call__(
        self, *arguments: str | bytes, stdin: bytes = b"", env: dict[str, str] | None = None
    ) -> Outcome: ...


#: The phases between the beginning and the tests.
TO_VALIDATION = ("BackupInProgress", "ContainerTermination", "NativeDeployment", "Validation")


def walk(run: Run) -> None:
    """Move a migration to Validation, phase by phase."""
    for phase in TO_VALIDATION:
        assert run("phase", phase).status == 0


def document(folder: Path) -> dict[str, Any]:
    """The state document on the disk."""
    found: dict[str, Any] = json.loads((folder / "migration-state.json").read_bytes())
    return found


def entries(folder: Path) -> list[dict[str, Any]]:
    """The audit log's entries on the disk."""
    return [json.loads(line) for line in (folder / "migration-audit.log").read_bytes().splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder`` except locks, which are not part of the state."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


def outstanding(folder: Path, *items: dict[str, Any]) -> None:
    """Replace the state by one with outstanding validations, in a document that was never logged.

    (In a logged state only the log says what is outstanding.)
    """
    path = folder / "migration-state.json"
    state = document(folder)
    state["outstanding_validations"] = [
        {"component": "guardian-hive", "since": "2026-01-15T09:00:00Z", **item} for item in items
    ]
    state["metadata"].pop("audit", None)
    path.write_text(json.dumps(state), encoding="utf-8")
    (folder / "migration-audit.log").unlink()
