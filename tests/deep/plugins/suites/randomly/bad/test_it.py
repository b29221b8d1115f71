import pytest

pytestmark = pytest.mark.migration_component("guardian-hive")


@pytest.mark.parametrize("number", range(4))
def test_number(number):
    assert number != 2


class TestTogether:
    def test_good(self):
        pass

    def test_bad(self):
        raise ConnectionRefusedError("port 8080")
