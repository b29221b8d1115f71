import random
import unittest

import pytest

pytestmark = pytest.mark.migration_component("guardian-hive")


@pytest.mark.parametrize("number", range(4))
def test_seeded(number):
    first = random.random()
    random.seed(random.getstate()[1][0])
    assert 0 <= first < 1


class TestUnittest(unittest.TestCase):
    def test_a(self):
        pass

    def test_b(self):
        pass
