import pytest


@pytest.mark.migration_component("guardian-hive")
@pytest.mark.isolated
def test_isolated():
    pass
