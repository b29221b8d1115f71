import pytest
from pytest_robotframework import keyword


@keyword
def send(job):
    raise ConnectionRefusedError("port 8080")


def test_keyword():
    send("a")


def test_caught():
    with pytest.raises(ConnectionRefusedError):
        send("a")
