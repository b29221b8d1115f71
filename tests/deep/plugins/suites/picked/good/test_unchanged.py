import pytest

pytestmark = pytest.mark.migration_component("guardian-hive")


def test_not_picked():
    pass
