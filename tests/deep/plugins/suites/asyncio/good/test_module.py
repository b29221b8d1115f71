import asyncio

import pytest

pytestmark = [pytest.mark.asyncio, pytest.mark.migration_component("guardian-hive")]


async def test_module_mark():
    process = await asyncio.create_subprocess_exec("true")
    assert await process.wait() == 0
