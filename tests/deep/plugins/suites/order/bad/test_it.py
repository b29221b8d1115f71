import pytest

pytestmark = pytest.mark.migration_component("guardian-hive")

done = []


@pytest.mark.order("last")
def test_stop():
    assert done == ["start", "work"]


@pytest.mark.order(after="test_start")
def test_work():
    done.append("work")


@pytest.mark.order("first")
def test_start():
    raise ConnectionRefusedError("port 8080")
