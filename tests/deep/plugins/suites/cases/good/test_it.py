import pytest
from pytest_cases import case, fixture, parametrize, parametrize_with_cases

component = pytest.mark.migration_component("guardian-hive")


class Jobs:
    def case_none(self):
        return []

    @case(tags="full")
    def case_one(self):
        return [1]

    @parametrize(count=[2, 3])
    def case_many(self, count):
        return [1] * count


@component
@parametrize_with_cases("jobs", cases=Jobs)
def test_done(jobs):
    assert sum(jobs) == len(jobs)


@fixture
@parametrize_with_cases("jobs", cases=Jobs, has_tag="full")
def queue(jobs):
    yield list(jobs)


@component
def test_with_a_fixture(queue):
    assert queue == [1]
