"""``python -m pytest_migration_state`` is ``migration-state``."""

import sys

from pytest_migration_state.cli.main import main

sys.exit(main())
