import unittest

import pytest

pytestmark = pytest.mark.migration_component("guardian-hive")


def test_again():
    pass


@pytest.mark.repeat(1)
def test_once():
    pass


@pytest.mark.parametrize("name", ["a"])
def test_parametrized(name):
    assert name


class TestUnittest(unittest.TestCase):
    """Tests that are not repeated."""

    def test_once(self):
        pass
