import pytest

pytestmark = pytest.mark.migration_component("guardian-hive")


@pytest.mark.parametrize("number", range(4))
def test_number(number):
    assert number != 1
