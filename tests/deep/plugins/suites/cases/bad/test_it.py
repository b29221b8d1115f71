import pytest
from pytest_cases import case, parametrize_with_cases

component = pytest.mark.migration_component("guardian-hive")


def case_good():
    return [1]


def case_bad():
    return [2]


def case_broken():
    raise ConnectionRefusedError("port 8080")


@case(marks=pytest.mark.skip(reason="not here"))
def case_later():
    return [3]


@component
@parametrize_with_cases("jobs", cases=".")
def test_done(jobs):
    assert jobs == [1]
