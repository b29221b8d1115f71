import pytest
from attempts import attempt

pytestmark = pytest.mark.migration_component("guardian-hive")


def test_second_attempt():
    assert attempt("second") == 2


@pytest.mark.flaky(retries=3, delay=0)
def test_third_attempt():
    assert attempt("third") == 3


def test_first_attempt():
    pass


@pytest.fixture
def service():
    yield attempt("service")


def test_with_a_fixture(service):
    assert service == 2


class TestTogether:
    def test_second_attempt(self):
        assert attempt("method") == 2
