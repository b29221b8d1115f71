import pytest
import shop

pytestmark = pytest.mark.migration_component("guardian-hive")


def test_price():
    assert shop.price(3) == 6


def test_tax():
    assert shop.tax(10) == 2


def test_fails_each_time():
    raise ConnectionRefusedError("port 8080")
