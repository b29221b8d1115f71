import pytest

pytestmark = pytest.mark.migration_component("guardian-hive")


def test_good(host):
    assert host.file("/").exists


def test_file(host):
    assert host.file("/no/such/file").exists


def test_command(host):
    host.check_output("echo port 8080; exit 1")


def test_expected(host):
    assert host.run_expect([0, 1], "exit 2")


def test_process(host):
    assert host.process.get(comm="no-such-process")
