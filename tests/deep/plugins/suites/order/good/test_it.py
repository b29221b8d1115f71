import pytest

pytestmark = pytest.mark.migration_component("guardian-hive")

done = []


def test_stop():
    assert done == ["start", "work"]


@pytest.mark.order(before="test_stop")
def test_work():
    assert done == ["start"]
    done.append("work")


@pytest.mark.order("first")
def test_start():
    done.append("start")
