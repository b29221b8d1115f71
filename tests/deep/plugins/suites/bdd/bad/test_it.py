import pytest
from pytest_bdd import given, parsers, scenarios, then, when

pytestmark = pytest.mark.migration_component("guardian-hive")

scenarios("queue.feature")


@given("a queue", target_fixture="queue")
def make_queue():
    return []


@given("a queue that is down", target_fixture="queue")
def refuse():
    raise ConnectionRefusedError("port 8080")


@when(parsers.parse("{count:d} jobs are sent"))
def send(queue, count):
    queue.extend(range(count))


@then(parsers.parse("it holds {count:d} jobs"))
def holds(queue, count):
    assert len(queue) == count
