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
    """A folder in which each worker writes its plan.

    :ivar on_every_worker: True if each test runs on every worker (``--dist=each``).
    :ivar lacks_one: True if the plan of a worker could not be read.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.on_every_worker: bool = config.getoption("dist") == "each"
        self.lacks_one = False
        self.folder = Path(tempfile.mkdtemp(prefix="migration-plans-"))
        # Digest of the last plan that was read, and of the last plan that was recorded.
        self._read = self._recorded = b""

    def read(self, node: Any) -> Plan | None:
        """Return the plan of a worker; ``None`` if the plan that was recorded last is equal.

        Under ``--dist=each`` every plan is returned, because each worker runs all tests.

        :raises OSError: the plan is missing or cannot be read.
        :raises ValueError: the plan is not valid JSON.
        """
        try:
            content = (self.folder / f"{node.gateway.id}.json").read_bytes()
            # Each worker has a plan, and most plans are equal.
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
        """Note that the plan read last is recorded. Until then, :meth:`read` returns equal plans again."""
        self._recorded = self._read

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
