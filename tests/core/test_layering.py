"""Who may load whom, seen in fresh interpreters."""

from __future__ import annotations

import subprocess
import sys

import pytest

CORE = "pytest_migration_state.core."
#: Modules that touch files, and what they stand on.
FILES = {f"{CORE}{name}" for name in ("store", "journal", "lock", "files", "tracker", "run")} | {"filelock"}


def loaded_by(code: str) -> set[str]:
    """The modules that an interpreter has loaded after ``code``."""
    done = subprocess.run([sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], capture_output=True, check=True, text=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("rule", ["phases", "document", "events", "gate", "operations", "text", "errors", "models"])
def test_the_rules_know_no_files(rule: str) -> None:
    """They decide without the store, the log, the lock, and without pytest."""
    loaded = loaded_by(f"import {CORE}{rule}")
    assert set() == loaded & (FILES | {"pytest", "_pytest"})


@pytest.mark.parametrize("module", ["store", "journal", "tracker", "verify", "run", "backup"])
def test_core_knows_no_pytest(module: str) -> None:
    """Nor the layers above it."""
    loaded = loaded_by(f"import {CORE}{module}")
    above = {name for name in loaded if name.startswith(("pytest_migration_state.recording", "pytest_migration_state.cli"))}
    assert set() == above | (loaded & {"pytest", "_pytest", "pytest_migration_state.plugin"})


@pytest.mark.parametrize("module", ["store", "journal", "lock", "files"])
def test_the_store_knows_no_rules(module: str) -> None:
    """Neither the operations nor the gate: what is allowed is decided above it."""
    assert set() == loaded_by(f"import {CORE}{module}") & {
        f"{CORE}operations",
        f"{CORE}gate",
        f"{CORE}tracker",
        f"{CORE}models",
        "pydantic",
    }


def test_the_package_alone_loads_nothing_of_its_own() -> None:
    """pytest imports it in every run of every project that has it installed."""
    loaded = loaded_by("import pytest_migration_state")
    assert {"pytest_migration_state"} == {name for name in loaded if name.startswith("pytest_migration_state")}
    assert set() == loaded & {"pydantic", "filelock", "pytest"}


def test_a_name_loads_its_module_and_no_more() -> None:
    """PEP 562."""
    loaded = loaded_by("from pytest_migration_state import Phase")
    assert {f"{CORE}phases", f"{CORE}errors"} <= loaded
    assert set() == loaded & (FILES | {"pydantic"})


def test_a_change_does_not_load_pydantic(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The commands stay cheap: models are loaded when a user asks for one."""
    path = tmp_path_factory.mktemp("state") / "migration-state.json"
    code = f"from pytest_migration_state import MigrationTracker; t = MigrationTracker({str(path)!r}, create=True, notify=print)"
    code += "; t.commit([{'operation': 'set_error', 'message': 'm'}]); t.verify()"
    assert "pydantic" not in loaded_by(code)
