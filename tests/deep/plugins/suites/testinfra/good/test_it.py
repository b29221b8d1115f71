import pytest

pytestmark = pytest.mark.migration_component("guardian-hive")


def test_root(host):
    root = host.file("/")
    assert root.is_directory
    assert root.user == "root"


def test_command(host):
    assert host.check_output("echo %s", "a b") == "a b"
    assert host.run("exit 3").rc == 3


@pytest.mark.parametrize("name", ["sh", "true"])
def test_programs(host, name):
    assert host.exists(name)
