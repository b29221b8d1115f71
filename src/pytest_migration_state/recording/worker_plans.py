"""The plans of xdist's workers, as the controller receives them."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_migration_state.recording.plan import Plan

if TYPE_CHECKING:
    import pytest


class WorkerPlans:
    """A folder in which each worker leaves its plan.

    :ivar on_every_worker: whether each test runs on every worker (``--dist=each``).
    :ivar lacks_one: whether the plan of a worker could not be read.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.on_every_worker: bool = config.getoption("dist") == "each"
        self.lacks_one = False
        self.folder = Path(tempfile.mkdtemp(prefix="migration-plans-"))
        # Digests of the plan that was read last, and of the one that was recorded last.
        self._read = self._recorded = b""

    def read(self, node: Any) -> Plan | None:
        """Return the plan of a worker; ``None`` if it equals the one recorded last and tests run on one worker each.

        :raises OSError: there is none, or it cannot be read (also ``ValueError``).
        """
        try:
            content = (self.folder / f"{node.gateway.id}.json").read_bytes()
            # Each worker has a plan, and most are equal.
            digest = hashlib.sha256(content).digest()
            if digest == self._recorded and not self.on_every_worker:
                return None
            plan = Plan.from_object(json.loads(content))
        except (OSError, ValueError):
            self.lacks_one = True
            raise
        self._read = digest
        return plan

    def note_recorded(self) -> None:
        """Note that the plan that was read last is recorded. Until then an equal plan is read again."""
        self._recorded = self._read

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
