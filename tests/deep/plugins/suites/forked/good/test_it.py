import os

import pytest

pytestmark = pytest.mark.migration_component("guardian-hive")

parent = os.getpid()


def test_in_a_child():
    assert os.getpid() != parent
    os.environ["MIGRATED"] = "1"


@pytest.mark.forked
def test_of_its_own():
    assert "MIGRATED" not in os.environ


class TestTogether:
    @pytest.fixture
    def service(self):
        yield os.getpid()

    def test_with_a_fixture(self, service):
        assert service == os.getpid()
