import asyncio

import pytest
import pytest_asyncio

pytestmark = pytest.mark.migration_component("guardian-hive")


@pytest_asyncio.fixture
async def queue():
    filled = asyncio.Queue()
    await filled.put("job")
    yield filled
    await filled.join()


@pytest.mark.asyncio
async def test_answers():
    await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_with_a_fixture(queue):
    assert await queue.get() == "job"
    queue.task_done()


@pytest.mark.asyncio(loop_scope="class")
class TestTogether:
    loop = None

    async def test_first(self):
        TestTogether.loop = asyncio.get_running_loop()

    async def test_second(self):
        assert TestTogether.loop in {None, asyncio.get_running_loop()}


@pytest.mark.asyncio
@pytest.mark.parametrize("seconds", [1, 2])
async def test_parametrized(seconds):
    async with asyncio.timeout(seconds):
        await asyncio.gather(*(asyncio.sleep(0) for _ in range(seconds)))
