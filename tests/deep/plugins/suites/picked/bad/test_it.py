import pytest

pytestmark = pytest.mark.migration_component("guardian-hive")


def test_picked():
    raise ConnectionRefusedError("port 8080")
