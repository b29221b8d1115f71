"""The direction of imports: the table of layers, and the modules that an import loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_migration_state

PACKAGE = Path(pytest_migration_state.__file__).parent
NAME = "pytest_migration_state"
#: Modules that access files, and the packages that they use for it.
FILES = {f"{NAME}.storage.files", f"{NAME}.tracking.tracker", f"{NAME}.tracking.run_writer", "filelock"}

#: The layers from the bottom up, with the layers that each may import. An import inside a function or for
#: type checkers counts like any other.
LEAVES = frozenset({"types", "text", "errors", "json_codec", "regular_files", "importing", "redaction"})
TABLE = {
    "types": frozenset[str](),
    "text": frozenset[str](),
    "regular_files": frozenset[str](),
    "importing": frozenset[str](),
    "redaction": frozenset[str](),
    "errors": frozenset({"types"}),
    "json_codec": frozenset({"types"}),
    "domain": LEAVES,
    "models": LEAVES | {"domain"},
    "storage.base": LEAVES | {"domain", "storage.records"},
    "storage.records": LEAVES | {"domain"},
    "storage.identity": frozenset({"text"}),
    "storage": LEAVES | {"domain", "storage.base", "storage.records"},
    "storage.files": LEAVES | {"domain", "storage.base", "storage.records", "storage.identity", "storage"},
    "storage.opening": LEAVES | {"domain", "storage.base", "storage.files", "storage"},
    "importers": LEAVES | {"domain"},
    "verification": LEAVES | {"domain", "storage.base", "storage.records"},
    "tracking": LEAVES
    | {"domain", "models", "storage.base", "storage.records", "storage.identity", "storage.opening"}
    | {"importers", "verification"},
    "reports": LEAVES | {"domain", "importers", "verification"},
    "recording": LEAVES | {"domain", "tracking", "reports", ""},
    "cli": LEAVES | {"domain", "tracking", "reports", ""},
    "hookspecs": frozenset[str](),
    "plugin": frozenset({"domain", "recording", "hookspecs", ""}),
    "__main__": frozenset({"cli"}),
    # The package that users import: it imports names lazily.
    "": LEAVES | {"domain", "models", "tracking", "verification"},
}


def layer_of(module: str) -> str:
    """Return the layer of a module: the longest name in the table that it begins with."""
    path = module.removeprefix(NAME).removeprefix(".")
    while path not in TABLE:
        path = path.rpartition(".")[0]
    return path


def module_of(path: Path) -> str:
    """Return the name of the module at ``path``."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    """Return every module of this package that the module at ``path`` imports, wherever the import is."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                file = PACKAGE.parent.joinpath(*name.split("."))
                is_module = file.with_suffix(".py").exists() or file.is_dir()
                found.add(name if is_module else node.module)
    return {name for name in found if name.split(".")[0] == NAME}


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downward(module: str) -> None:
    """A layer imports only the layers listed for it in the table."""
    layer = layer_of(module)
    upward = {name for name in imports_of(MODULES[module]) if layer_of(name) not in TABLE[layer] | {layer}}
    assert set() == upward


def test_no_module_imports_itself_through_others() -> None:
    """No import circles, not even for type checkers."""
    graph = {module: imports_of(path) & MODULES.keys() for module, path in MODULES.items()}
    remaining = dict(graph)
    while leaves := [
        module for module, imports in remaining.items() if not (imports & remaining.keys()) - {module}
    ]:
        for module in leaves:
            del remaining[module]
    assert {module: sorted(imports & remaining.keys()) for module, imports in remaining.items()} == {}


def test_only_opening_knows_a_concrete_store() -> None:
    """Adding a second store takes one new module and one line there."""
    importers = {
        module
        for module, path in MODULES.items()
        if any(name.startswith(f"{NAME}.storage.files") for name in imports_of(path))
    }
    assert {f"{NAME}.storage.opening"} == {name for name in importers if layer_of(name) != "storage.files"}


# --- what is loaded -----------------------------------------------------------------------------------------


def loaded_by(code: str) -> set[str]:
    """Return the modules that a new interpreter has loaded after ``code``."""
    command = [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        "domain.phases",
        "domain.document",
        "domain.events",
        "domain.gate",
        "domain.operations",
        "text",
        "errors",
        "models",
    ],
)
def test_the_rules_load_no_files_and_no_pytest(module: str) -> None:
    """They decide without the store, the log, the lock and pytest."""
    loaded = loaded_by(f"import {NAME}.{module}")
    assert set() == loaded & (FILES | {"pytest", "_pytest"})


@pytest.mark.parametrize(
    "module",
    [
        "storage.opening",
        "tracking.tracker",
        "tracking.run_writer",
        "verification.verify",
        "importers.backup.check",
    ],
)
def test_what_is_below_the_plugin_loads_no_pytest(module: str) -> None:
    """It does not load the layers above it either."""
    loaded = loaded_by(f"import {NAME}.{module}")
    above = {name for name in loaded if name.startswith((f"{NAME}.recording", f"{NAME}.cli"))}
    assert set() == above | (loaded & {"pytest", "_pytest", f"{NAME}.plugin"})


@pytest.mark.parametrize("module", ["store", "state_files", "audit_log", "lock", "atomic"])
def test_a_store_loads_no_rules(module: str) -> None:
    """It needs neither the operations nor the gate, which decide above it."""
    rules = {f"{NAME}.{name}" for name in ("domain.operations", "domain.gate", "tracking.tracker", "models")}
    assert set() == loaded_by(f"import {NAME}.storage.files.{module}") & (rules | {"pydantic"})


def test_the_package_alone_loads_nothing_of_its_own() -> None:
    """pytest imports it in every run of every project that has it installed."""
    loaded = loaded_by(f"import {NAME}")
    assert {NAME} == {name for name in loaded if name.startswith(NAME)}
    assert set() == loaded & {"pydantic", "filelock", "pytest"}


def test_a_name_loads_its_module_and_no_more() -> None:
    """PEP 562."""
    loaded = loaded_by(f"from {NAME} import Phase")
    assert {f"{NAME}.domain.phases", f"{NAME}.errors"} <= loaded
    assert set() == loaded & (FILES | {"pydantic"})


def test_a_change_does_not_load_pydantic(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The commands stay cheap: models are loaded when a user asks for one."""
    path = tmp_path_factory.mktemp("state") / "migration-state.json"
    code = (
        f"from {NAME} import MigrationTracker; t = MigrationTracker({str(path)!r}, create=True, notify=print)"
    )
    code += "; t.commit([{'operation': 'set_error', 'message': 'm'}]); t.verify()"
    assert set() == loaded_by(code) & {"pydantic", "pydantic_core"}
