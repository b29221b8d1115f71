"""guardian-hive answers over HTTP, and applies the rules of its container."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

if TYPE_CHECKING:
    from conftest import Native

pytestmark = pytest.mark.migration_component("guardian-hive")

TIMEOUT = 5.0  # seconds


def ask(native: Native, address: str) -> Any:
    """Return the service's answer. Any status other than 200 fails the test and shows the answer."""
    connection = HTTPConnection("127.0.0.1", native.port, timeout=TIMEOUT)
    try:
        connection.request("GET", address)
        response = connection.getresponse()
        answer = json.loads(response.read())
    finally:
        connection.close()
    assert response.status == 200, f"{address} was answered with {response.status}: {answer}"
    return answer


def may_run(native: Native, command: str) -> bool:
    allowed: bool = ask(native, f"/check?{urlencode({'command': command})}")["allowed"]
    return allowed


def test_is_healthy(native: Native) -> None:
    """The service is healthy, and it is the process that the migration started."""
    assert ask(native, "/health") == {"status": "healthy", "process_id": native.process_id}


def test_denies_by_the_preserved_rules(native: Native) -> None:
    """A command that the container's rules deny is denied."""
    assert not may_run(native, "docker system prune --all")


def test_allows_other_commands(native: Native) -> None:
    """A command that no rule denies is allowed."""
    assert may_run(native, "docker ps")
