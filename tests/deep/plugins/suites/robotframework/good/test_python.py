from pytest_robotframework import keyword


@keyword
def send(job):
    assert job


def test_keyword():
    send("a")
