import pytest
from pytest_check import raises

pytestmark = pytest.mark.migration_component("guardian-hive")


def test_good(check):
    check.equal(1, 1)


def test_one_of_three(check):
    check.equal(1, 1)
    check.equal(1, 2)
    check.equal(2, 2)


def test_context(check):
    with check:
        assert 1 == 2, "the first"
    with check:
        raise ConnectionRefusedError("port 8080")


def test_check_and_assertion(check):
    check.equal(1, 2)
    assert 1 == 3


def test_raises_nothing():
    with raises(ConnectionRefusedError):
        pass


@pytest.fixture
def checks_at_its_start(check):
    check.equal(1, 2)


def test_setup(checks_at_its_start):
    pass


@pytest.fixture
def checks_at_its_end(check):
    yield
    check.equal(1, 2)


def test_teardown(checks_at_its_end):
    pass


@pytest.mark.xfail
def test_known(check):
    check.equal(1, 2)


def test_skipped_after_it(check):
    check.equal(1, 2)
    pytest.skip("not here")
