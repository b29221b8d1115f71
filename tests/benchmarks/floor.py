"""The minimal recorder that fulfils the contract, as a plugin to measure against.

It appends one entry per test, chained to the previous one by its hash, in one write under the locks of state
and log. It looks up no marker, makes no plan, keeps and writes no document, evaluates no gate and handles no
error. The rest is the cost of Python and the operating system.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from filelock import lock_descriptor, unlock_descriptor
from pydantic_core import to_json

from pytest_migration_state.text import utc_now

if TYPE_CHECKING:
    import pytest


class Floor:
    def __init__(self) -> None:
        self.state = os.open("floor.lock", os.O_RDWR | os.O_CREAT)
        self.log = os.open("floor.log", os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self.end = os.lseek(self.log, 0, os.SEEK_END)
        self.hash = "0" * 64
        self.seconds = 0.0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds += report.duration

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        now = utc_now()
        seconds, self.seconds = self.seconds, 0.0
        verdict = {
            "component": "guardian-hive", "test_name": nodeid, "passed": True, "error_message": None,
            "tested_at": now, "outcome": "passed", "duration_seconds": seconds, "run_id": "7f3c7f3c7f3c7f3c",
        }  # fmt: skip
        entry = {
            "timestamp": now, "level": "INFO", "action": "ValidationResult",
            "details": f"Test '{nodeid}' for 'guardian-hive': PASSED", "seq": self.end,
            "run_id": "7f3c7f3c7f3c7f3c", "actor": "ci@runner-7", "data": {"validation_results": [verdict]},
        }  # fmt: skip
        lock_descriptor(self.state, blocking=False)
        lock_descriptor(self.log, blocking=False)
        assert os.lseek(self.log, 0, os.SEEK_END) == self.end
        body = to_json(entry)
        self.hash = hashlib.sha256(self.hash.encode() + body).hexdigest()
        self.end += os.write(self.log, b'%b,"hash":"%b"}\n' % (body[:-1], self.hash.encode()))
        unlock_descriptor(self.log)
        unlock_descriptor(self.state)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Floor())
