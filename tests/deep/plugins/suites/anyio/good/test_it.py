import anyio
import pytest

pytestmark = [pytest.mark.anyio, pytest.mark.migration_component("guardian-hive")]


@pytest.fixture
async def stream():
    send, receive = anyio.create_memory_object_stream(1)
    async with send, receive:
        await send.send("job")
        yield receive


async def test_answers():
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 0)


async def test_with_a_fixture(stream):
    assert await stream.receive() == "job"
