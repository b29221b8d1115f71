import asyncio

import pytest
import pytest_asyncio

component = pytest.mark.migration_component("guardian-hive")


async def refuse():
    raise ConnectionRefusedError("port 8080")


@pytest_asyncio.fixture
async def broken_service():
    await refuse()


@pytest_asyncio.fixture
async def service_that_does_not_stop():
    yield
    await refuse()


@component
@pytest.mark.asyncio
async def test_good():
    await asyncio.sleep(0)


@component
@pytest.mark.asyncio
async def test_raises():
    await refuse()


@component
@pytest.mark.asyncio
async def test_times_out():
    async with asyncio.timeout(0.01):
        await asyncio.sleep(30)


@component
@pytest.mark.asyncio
async def test_task_fails():
    async with asyncio.TaskGroup() as group:
        group.create_task(refuse())
        group.create_task(asyncio.sleep(30))


@component
@pytest.mark.asyncio
async def test_setup(broken_service):
    pass


@component
@pytest.mark.asyncio
async def test_teardown(service_that_does_not_stop):
    pass


@component
async def test_without_a_mark():
    """In strict mode nothing awaits it."""


@component
@pytest.mark.asyncio
async def test_later():
    pytest.skip("not yet")
