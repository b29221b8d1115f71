import pytest

pytestmark = pytest.mark.migration_component("guardian-hive")


def test_good():
    """It answers."""


@pytest.mark.parametrize("name", ["größe", "尺寸"])
def test_named(name):
    """A name that pytest escapes in a node id."""
    assert name != "größe"


def test_bad():
    """It does not answer."""
    raise ConnectionRefusedError("port 8080")


@pytest.mark.parametrize("name", ["größe"])
def test_skipped(name):
    pytest.skip("not here")
