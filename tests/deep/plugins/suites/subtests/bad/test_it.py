import unittest

import pytest

pytestmark = pytest.mark.migration_component("guardian-hive")


def test_good(subtests):
    with subtests.test():
        pass


def test_one_fails(subtests):
    for number in range(3):
        with subtests.test("a number", number=number):
            assert number != 1


def test_passes_after_it(subtests):
    with subtests.test():
        raise ConnectionRefusedError("port 8080")
    assert 1 + 1 == 2


def test_fails_by_itself(subtests):
    with subtests.test():
        pass
    raise ConnectionRefusedError("port 8080")


def test_skips(subtests):
    with subtests.test():
        pytest.skip("not here")
    with subtests.test():
        pass


class TestUnittest(unittest.TestCase):
    def test_one_fails(self):
        for number in range(3):
            with self.subTest(number=number):
                self.assertNotEqual(number, 1)

    def test_good(self):
        with self.subTest():
            pass
