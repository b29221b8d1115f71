import time

import pytest

pytestmark = pytest.mark.migration_component("guardian-hive")


@pytest.mark.timeout(30)
def test_in_time():
    time.sleep(0.01)


@pytest.mark.timeout(30, method="thread")
def test_in_time_by_thread():
    time.sleep(0.01)
