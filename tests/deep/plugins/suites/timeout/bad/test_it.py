import time

import pytest

pytestmark = pytest.mark.migration_component("guardian-hive")


def test_good():
    pass


@pytest.mark.timeout(0.2)
def test_too_long():
    time.sleep(60)


@pytest.fixture
def slow():
    time.sleep(60)


@pytest.mark.timeout(0.2)
def test_setup(slow):
    pass


@pytest.fixture
def stops_late():
    yield
    time.sleep(60)


@pytest.mark.timeout(0.2)
def test_teardown(stops_late):
    pass
