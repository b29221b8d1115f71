"""States on disk for tests, and ways to damage them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_migration_state import MigrationTracker
from pytest_migration_state.storage.files.lock import StateLock
from pytest_migration_state.storage.files.paths import StatePaths
from pytest_migration_state.storage.files.state_files import StateFiles
from pytest_migration_state.storage.records import Author

if TYPE_CHECKING:
    from pytest_migration_state import VerifyReport

SAMPLES = Path(__file__).parent / "data" / "powershell"
#: The folders of the states that the PowerShell functions and real scripts left.
STATES = sorted(
    str(path.parent.relative_to(SAMPLES)) for path in SAMPLES.glob("[57]*/*/migration-state.json")
)
DOCUMENT = "migration-state.json"
LOG = "migration-audit.log"
#: A line of another program.
FOREIGN = (
    b'{"timestamp":"2026-11-23T00:11:37.3559507-03:00","level":"WARNING",'
    b'"action":"CustomAction","details":"Custom action details"}'
)


def sample(name: str, folder: Path) -> Path:
    """Copy a sample into ``folder`` and return the document's path."""
    shutil.copytree(SAMPLES / name, folder, dirs_exist_ok=True)
    return folder / DOCUMENT


def lines(document: Path) -> list[bytes]:
    """Return the lines of the log beside ``document``, without their line ends."""
    return log_of(document).read_bytes().split(b"\n")[:-1]


def log_of(document: Path) -> Path:
    return MigrationTracker(document).audit_log_path


def put_lines(document: Path, content: list[bytes]) -> None:
    """Replace the log beside ``document``."""
    log_of(document).write_bytes(b"".join(line + b"\n" for line in content))


def files_of(document: Path) -> StateFiles:
    """Return the files of a state, to work on under its lock."""
    paths = StatePaths(document)
    return StateFiles(paths, Author(None, "ci@runner"), StateLock(paths.lock), lambda _: None)


def read(document: Path) -> dict[str, Any]:
    """Return the decoded document."""
    content: dict[str, Any] = json.loads(document.read_text("utf-8-sig"))
    return content


def edit(document: Path, **changes: Any) -> None:
    """Edit the document by hand."""
    document.write_text(json.dumps({**read(document), **changes}), "utf-8")


def kinds(report: VerifyReport) -> list[tuple[str, int | None]]:
    """Return kind and line of each problem of a report."""
    return [(problem.kind, problem.line) for problem in report.problems]


def in_validation(document: Path) -> MigrationTracker:
    """Begin a state and move it to Validation. Rollback is available, and its log has five lines."""
    tracker = MigrationTracker(document)
    tracker.initialize()
    for phase in ("BackupInProgress", "ContainerTermination", "NativeDeployment", "Validation"):
        tracker.set_phase(phase)
    return tracker
