import pytest
from attempts import attempt
from flaky import flaky

pytestmark = pytest.mark.migration_component("guardian-hive")


def is_refusal(error, *_):
    return issubclass(error[0], ConnectionRefusedError)


@flaky
def test_good():
    assert attempt("good") == 2


@flaky(max_runs=3)
def test_never():
    raise ConnectionRefusedError("port 8080")


@flaky(max_runs=3, min_passes=2)
def test_passes_once():
    assert attempt("once") == 1


@flaky(rerun_filter=is_refusal)
def test_another_error():
    assert attempt("another") == 2


@pytest.fixture
def broken():
    raise ConnectionRefusedError("port 8080")


@flaky
def test_setup(broken):
    pass


@pytest.fixture
def does_not_stop():
    yield
    raise ConnectionRefusedError("port 8080")


@flaky
def test_teardown(does_not_stop):
    pass


@flaky
def test_skipped_at_last():
    if attempt("skipped") == 2:
        pytest.skip("not any more")
    raise ConnectionRefusedError("port 8080")
