import anyio
import pytest
import sniffio

pytestmark = [pytest.mark.anyio, pytest.mark.migration_component("guardian-hive")]


async def refuse():
    raise ConnectionRefusedError("port 8080")


@pytest.fixture
async def service_that_does_not_stop():
    yield
    await refuse()


async def test_good():
    await anyio.sleep(0)


async def test_on_trio_alone():
    assert sniffio.current_async_library() == "trio"


async def test_task_group():
    async with anyio.create_task_group() as group:
        group.start_soon(refuse)
        group.start_soon(anyio.sleep, 30)


async def test_teardown(service_that_does_not_stop):
    pass
