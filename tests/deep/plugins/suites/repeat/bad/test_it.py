import pytest

pytestmark = pytest.mark.migration_component("guardian-hive")


def test_good():
    pass


def test_second_time(__pytest_repeat_step_number):
    assert __pytest_repeat_step_number != 1


def test_never():
    raise ConnectionRefusedError("port 8080")
