import unittest

import pytest

pytestmark = pytest.mark.migration_component("guardian-hive")


def test_all(subtests):
    for number in range(3):
        with subtests.test("a number", number=number):
            assert number < 3


def test_caught(subtests):
    with subtests.test(), pytest.raises(ConnectionRefusedError):
        raise ConnectionRefusedError


class TestUnittest(unittest.TestCase):
    def test_all(self):
        for number in range(3):
            with self.subTest(number=number):
                self.assertLess(number, 3)
