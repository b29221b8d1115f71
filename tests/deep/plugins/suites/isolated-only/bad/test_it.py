import atexit
import time

import pytest


@pytest.mark.migration_component("guardian-hive")
@pytest.mark.isolated(timeout=3)
def test_does_not_end():
    """It passes, and then its process hangs."""
    atexit.register(time.sleep, 60)
