"""States on the disk for the tests of core, and ways to damage them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_migration_state import MigrationTracker

if TYPE_CHECKING:
    from pytest_migration_state import VerifyReport

SAMPLES = Path(__file__).parent.parent / "data" / "powershell"
#: What the PowerShell functions and real scripts left, by the name of its folder.
STATES = sorted(str(path.parent.relative_to(SAMPLES)) for path in SAMPLES.glob("[57]*/*/migration-state.json"))
DOCUMENT = "migration-state.json"
LOG = "migration-audit.log"
FOREIGN = b'{"timestamp":"2026-11-23T00:11:37.3559507-03:00","level":"WARNING","action":"CustomAction","details":"Custom action details"}'


def sample(name: str, folder: Path) -> Path:
    """A copy of a sample in ``folder``; gives the document's path."""
    shutil.copytree(SAMPLES / name, folder, dirs_exist_ok=True)
    return folder / DOCUMENT


def lines(document: Path) -> list[bytes]:
    """The lines of the log beside ``document``, without their ends."""
    return log_of(document).read_bytes().split(b"\n")[:-1]


def log_of(document: Path) -> Path:
    return MigrationTracker(document).audit_log_path


def put_lines(document: Path, content: list[bytes]) -> None:
    """Replace the log beside ``document``."""
    log_of(document).write_bytes(b"".join(line + b"\n" for line in content))


def read(document: Path) -> dict[str, Any]:
    """The document as JSON has it."""
    content: dict[str, Any] = json.loads(document.read_text("utf-8-sig"))
    return content


def edit(document: Path, **changes: Any) -> None:
    """Edit the document by hand."""
    document.write_text(json.dumps({**read(document), **changes}), "utf-8")


def kinds(report: VerifyReport) -> list[tuple[str, int | None]]:
    """What a report found: kind and line of each problem."""
    return [(problem.kind, problem.line) for problem in report.problems]


def in_validation(document: Path) -> MigrationTracker:
    """A new state in Validation, rollback available, nothing else in it. Its log has five lines."""
    tracker = MigrationTracker(document)
    tracker.initialize()
    for phase in ("BackupInProgress", "ContainerTermination", "NativeDeployment", "Validation"):
        tracker.set_phase(phase)
    return tracker
