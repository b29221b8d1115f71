import os
import signal
import sys

import pytest

pytestmark = pytest.mark.migration_component("guardian-hive")


def test_good():
    pass


def test_fails():
    raise ConnectionRefusedError("port 8080")


def test_killed():
    os.kill(os.getpid(), signal.SIGKILL)


def test_crashes():
    os.kill(os.getpid(), signal.SIGSEGV)


def test_leaves():
    os._exit(1)


def test_leaves_as_if_all_were_well():
    os._exit(0)


def test_exits():
    sys.exit(0)


@pytest.fixture
def does_not_stop():
    yield
    raise ConnectionRefusedError("port 8080")


def test_teardown(does_not_stop):
    pass


@pytest.mark.xfail(reason="known")
def test_known_crash():
    os.kill(os.getpid(), signal.SIGSEGV)


@pytest.mark.xfail(reason="known")
def test_known():
    raise ConnectionRefusedError("port 8080")


@pytest.mark.skip(reason="not here")
def test_skipped():
    pass
