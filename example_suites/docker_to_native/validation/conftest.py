"""What the tests of all three components share: the way from the migration state to a running process."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_migration_state import MigrationTracker


# The tests use the suite's own backup.py, whichever folder pytest was started in.
sys.path.insert(0, str(Path(__file__).parents[1]))


@dataclass(frozen=True)
class Native:
    """A component as the migration state knows it.

    :ivar process_id: of the native process.
    :ivar folder: the folder that the process works in.
    :ivar backup: the folder of the container's backup.
    """

    process_id: int | None
    folder: Path
    backup: Path

    @property
    def port(self) -> int:
        """Where the process listens on this machine. It chose the port itself and wrote it down."""
        port: int = json.loads((self.folder / "ready.json").read_text(encoding="utf-8"))["port"]
        return port

    @property
    def saved_volumes(self) -> list[dict[str, Any]]:
        """What the backup's manifest says of the container's volumes."""
        manifest = json.loads((self.backup.parent / "backup-manifest.json").read_text(encoding="utf-8"))
        volumes: list[dict[str, Any]] = next(
            container["volumes"]
            for container in manifest["containers"]
            if container["container_name"] == self.backup.name
        )
        return volumes


@pytest.fixture
def native(request: pytest.FixtureRequest, migration_state: MigrationTracker) -> Native:
    """The component that the test's marker names."""
    name = request.node.get_closest_marker("migration_component").args[0]
    state = migration_state.state
    process_id = next(
        process.process_id for process in state.native_processes_started if process.name == name
    )
    preserved = {key: Path(path) for key, path in state.data_preserved.items() if path}
    return Native(process_id, preserved[f"{name}-data"], preserved[f"{name}-backup"])
