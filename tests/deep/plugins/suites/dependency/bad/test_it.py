import pytest

pytestmark = pytest.mark.migration_component("guardian-hive")


@pytest.mark.dependency
def test_good():
    pass


@pytest.mark.dependency
def test_start():
    raise ConnectionRefusedError("port 8080")


@pytest.mark.dependency(depends=["test_start"])
def test_work():
    pass


@pytest.mark.dependency(depends=["test_work", "test_good"])
def test_stop():
    pass


@pytest.mark.dependency(depends=["nobody"])
def test_depends_on_nothing():
    pass
