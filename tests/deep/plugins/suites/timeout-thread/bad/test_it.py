import time

import pytest

pytestmark = pytest.mark.migration_component("guardian-hive")


def test_good():
    pass


@pytest.mark.timeout(0.5, method="thread")
def test_too_long():
    time.sleep(60)


def test_after_it():
    pass
