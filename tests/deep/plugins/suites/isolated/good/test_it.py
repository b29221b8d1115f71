import os

import pytest

pytestmark = pytest.mark.migration_component("guardian-hive")

collected_in = os.getpid()


@pytest.mark.isolated
def test_clean():
    assert "MIGRATED" not in os.environ
    os.environ["MIGRATED"] = "1"


@pytest.mark.isolated
def test_clean_too():
    assert "MIGRATED" not in os.environ


@pytest.mark.isolated(group="together")
class TestTogether:
    def test_first(self):
        os.environ["TOGETHER"] = "1"

    def test_second(self):
        assert os.environ["TOGETHER"] == "1"


def test_in_this_process():
    assert "MIGRATED" not in os.environ
