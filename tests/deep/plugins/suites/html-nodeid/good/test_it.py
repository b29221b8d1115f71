import pytest

pytestmark = pytest.mark.migration_component("guardian-hive")


def test_plain():
    """It answers."""


@pytest.mark.parametrize("name", ["größe", "尺寸", "a"])
def test_named(name):
    """A name that pytest escapes in a node id."""
