"""Shared by the tests of all three components: the lookup of a running process in the migration state."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_migration_state import MigrationTracker


# The tests import the suite's backup.py, wherever pytest was started.
sys.path.insert(0, str(Path(__file__).parents[1]))


@dataclass(frozen=True)
class Native:
    """A component as the migration state describes it.

    :ivar process_id: the id of the native process.
    :ivar folder: the folder that the process works in.
    :ivar backup: the folder of the container's backup.
    """

    process_id: int | None
    folder: Path
    backup: Path

    @property
    def port(self) -> int:
        """The port on which the process listens on this machine.

        The process chose it and wrote it to a file.
        """
        port: int = json.loads((self.folder / "ready.json").read_text(encoding="utf-8"))["port"]
        return port

    @property
    def saved_volumes(self) -> list[dict[str, Any]]:
        """The container's volumes, as listed in the backup's manifest."""
        manifest = json.loads((self.backup.parent / "backup-manifest.json").read_text(encoding="utf-8"))
        volumes: list[dict[str, Any]] = next(
            container["volumes"]
            for container in manifest["containers"]
            if container["container_name"] == self.backup.name
        )
        return volumes


@pytest.fixture
def native(request: pytest.FixtureRequest, migration_state: MigrationTracker) -> Native:
    """The component named by the test's marker."""
    name = request.node.get_closest_marker("migration_component").args[0]
    state = migration_state.state
    process_id = next(
        process.process_id for process in state.native_processes_started if process.name == name
    )
    preserved = {key: Path(path) for key, path in state.data_preserved.items() if path}
    return Native(process_id, preserved[f"{name}-data"], preserved[f"{name}-backup"])
