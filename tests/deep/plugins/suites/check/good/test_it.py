import pytest
from pytest_check import check as module_check
from pytest_check import raises

pytestmark = pytest.mark.migration_component("guardian-hive")


def test_all(check):
    check.equal(1, 1)
    check.is_in(1, [1, 2])
    check.is_true(1)


def test_context(check):
    with check:
        assert 1 + 1 == 2
    with check("with a message"):
        assert 1 + 1 == 2


def test_raises():
    with raises(ConnectionRefusedError):
        raise ConnectionRefusedError


@module_check.check_func
def is_even(number):
    assert number % 2 == 0


def test_helper():
    is_even(2)
    is_even(4)
