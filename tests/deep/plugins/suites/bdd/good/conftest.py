import pytest
from pytest_bdd import given, parsers, then, when


def pytest_bdd_apply_tag(tag, function):
    """Use the tag as the component, because a tag has no arguments."""
    pytest.mark.migration_component(tag.replace("_", "-"))(function)
    return True


@given("a queue", target_fixture="queue")
def make_queue():
    return []


@when(parsers.parse("{count:d} jobs are sent"))
def send(queue, count):
    queue.extend(range(count))


@then(parsers.parse("it holds {count:d} jobs"))
def holds(queue, count):
    assert len(queue) == count
