import os
import signal
import time

import pytest

pytestmark = pytest.mark.migration_component("guardian-hive")


@pytest.mark.isolated
def test_good():
    pass


@pytest.mark.isolated
def test_fails():
    raise ConnectionRefusedError("port 8080")


@pytest.mark.isolated
def test_crashes():
    os.kill(os.getpid(), signal.SIGSEGV)


@pytest.mark.isolated
def test_leaves_as_if_all_were_well():
    os._exit(0)


@pytest.mark.isolated(timeout=2)
def test_too_long():
    time.sleep(60)


@pytest.mark.isolated(group="together")
class TestTogether:
    def test_first(self):
        pass

    def test_second(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def test_third(self):
        pass


def test_in_this_process():
    pass
