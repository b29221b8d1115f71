"""The least that a recorder can do, as a plugin to measure against: one private write for each test.

It encodes the line that a run writes to its journal, and appends it to a file of its own. It looks up no
marker, makes no plan, keeps no document, takes no lock and handles no error. The rest is the cost of Python
and the operating system.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zlib import crc32

from pydantic_core import to_json

if TYPE_CHECKING:
    import pytest


class Floor:
    def __init__(self) -> None:
        self.journal = os.open("floor.journal", os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self.seconds = 0.0
        self.number = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds += report.duration

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        seconds, self.seconds = self.seconds, 0.0
        self.number += 1
        verdict = {
            "component": "guardian-hive", "test_name": nodeid, "passed": True, "error_message": None,
            "tested_at": now, "outcome": "passed", "duration_seconds": seconds, "run_id": "7f3c7f3c7f3c7f3c",
        }  # fmt: skip
        body = b'{"number":%d,"log_size":0,"verdict":%b' % (self.number, to_json(verdict))
        os.write(self.journal, b'%b,"check":"%08x"}\n' % (body, crc32(body)))


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Floor())
