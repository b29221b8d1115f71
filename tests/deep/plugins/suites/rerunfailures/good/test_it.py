import pytest
from attempts import attempt

pytestmark = pytest.mark.migration_component("guardian-hive")


def test_second_attempt():
    assert attempt("second") == 2


@pytest.mark.flaky(reruns=3, reruns_delay=0.01)
def test_third_attempt():
    assert attempt("third") == 3


def test_first_attempt():
    pass


@pytest.fixture
def slow_service():
    assert attempt("setup") == 2


def test_setup(slow_service):
    pass


@pytest.fixture
def stops_late():
    yield
    assert attempt("teardown") == 2


def test_teardown(stops_late):
    pass


class TestTogether:
    def test_second_attempt(self):
        assert attempt("method") == 2
