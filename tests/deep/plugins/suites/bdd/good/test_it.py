import pytest
from pytest_bdd import scenario

component = pytest.mark.migration_component("guardian-hive")


@component
@scenario("queue.feature", "The queue is empty")
def test_the_queue_is_empty():
    pass


@component
@scenario("queue.feature", "Jobs are done")
def test_jobs_are_done():
    pass


@scenario("queue.feature", "Named by a tag")
def test_named():
    pass
