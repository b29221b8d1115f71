"""The help of a command line without a command: what a first hour needs."""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers read it as typing's, which is not loaded: --help would pay for it
if TYPE_CHECKING:
    from typing import Final

TEXT: Final = """\
migration-state: record, look at and gate a migration whose validations are pytest's verdicts.

usage: migration-state COMMAND [ARGUMENT]... [-s PATH]

  begin a migration      migration-state init
  move it to a phase     migration-state phase BackupInProgress
  let pytest validate    pytest --migration-state=migration-state.json
  validate by hand       migration-state result guardian-hive native_execution_test --passed
  look at it             migration-state show
  may it be completed    migration-state gate
  what was done          migration-state audit --last 20

The state is the file that -s names, else $MIGRATION_STATE, else migration-state.json here.
migration-state --help: all commands"""
