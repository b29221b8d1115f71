import pytest
from attempts import attempt

pytestmark = pytest.mark.migration_component("guardian-hive")


def test_good():
    assert attempt("good") == 2


def test_never():
    raise ConnectionRefusedError("port 8080")


@pytest.mark.flaky(retries=2, only_on=[ConnectionRefusedError])
def test_another_error():
    assert attempt("another") == 2


@pytest.fixture
def broken():
    raise ConnectionRefusedError("port 8080")


def test_setup(broken):
    pass


@pytest.fixture
def does_not_stop():
    yield
    raise ConnectionRefusedError("port 8080")


def test_teardown(does_not_stop):
    pass


def test_teardown_of_the_first_attempt(does_not_stop):
    assert attempt("teardown") == 2


def test_skipped_at_last():
    if attempt("skipped") >= 2:
        pytest.skip("not any more")
    raise ConnectionRefusedError("port 8080")
