import pytest
from attempts import attempt
from flaky import flaky

pytestmark = pytest.mark.migration_component("guardian-hive")


@flaky
def test_second_attempt():
    assert attempt("second") == 2


@flaky(max_runs=3, min_passes=2)
def test_passes_twice():
    assert attempt("twice") != 2


@pytest.mark.flaky(max_runs=3)
def test_third_attempt():
    assert attempt("third") == 3


@flaky
def test_first_attempt():
    pass


@pytest.fixture
def slow_service():
    assert attempt("setup") == 2


@flaky
def test_setup(slow_service):
    pass


@flaky
class TestTogether:
    def test_second_attempt(self):
        assert attempt("method") == 2
