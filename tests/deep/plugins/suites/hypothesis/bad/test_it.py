import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.migration_component("guardian-hive")

calls = []


@given(st.integers())
def test_good(number):
    assert number == int(str(number))


@given(st.integers())
def test_falsified(number):
    assert number < 1000


@given(st.integers())
def test_falsified_in_two_ways(number):
    assert number < 1000
    if number < -1000:
        raise OSError(number)


@example(7)
@given(st.integers())
def test_example(number):
    assert number != 7


@given(st.integers())
def test_finds_none(number):
    assume(False)


@settings(suppress_health_check=list(HealthCheck))
@given(st.integers())
def test_flaky(number):
    calls.append(number)
    assert len(calls) != 3


@given(st.integers())
def test_skips(number):
    pytest.skip("not here")


def test_without_an_argument():
    @given()
    def inner(number):
        pass

    inner()
