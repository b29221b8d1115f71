import pytest

pytestmark = pytest.mark.migration_component("guardian-hive")


@pytest.mark.dependency
def test_start():
    pass


@pytest.mark.dependency(depends=["test_start"])
def test_work():
    pass


@pytest.mark.dependency(name="together", depends=["test_start", "test_work"])
def test_both():
    pass
