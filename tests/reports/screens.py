"""States as people see them at night, and how they are printed for a test."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pytest_migration_state.domain.document import Document
from pytest_migration_state.domain.gate import Context, evaluate
from pytest_migration_state.domain.phase_history import Stay
from pytest_migration_state.domain.phases import Phase
from pytest_migration_state.domain.policy import Policy
from pytest_migration_state.reports.blocks import ASCII, UNICODE, Form
from pytest_migration_state.reports.gate_report import Judged, gate_report
from pytest_migration_state.reports.overview import Overview, overview
from pytest_migration_state.reports.pytest_summary import GateAndCounts, RunSummary, lines
from pytest_migration_state.reports.status import status_of
from pytest_migration_state.reports.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from pytest_migration_state.reports.blocks import Block

#: When everything happened, and when it is looked at.
BEGAN = datetime(2026, 1, 15, 9, tzinfo=UTC)
NOW = BEGAN + timedelta(hours=1, minutes=5)
MESSAGES = (
    "AssertionError: assert 500 == 200",
    "ConnectionRefusedError: [Errno 111] Connection refused",
    "TimeoutError: no answer from http://127.0.0.1:8080/health within 30 s, although the process is alive",
    "断言失败: 期望 200, 得到 500 🚨 请检查端口",
)
NAMES = ("worker", "监护蜂巢", "アゲント🚀", "wörker")
SEQUENCE = re.compile(r"\x1b\[[0-9;]*m")


@lru_cache
def state(blockers: int, names: tuple[str, ...] = ("worker",), components: int = 30) -> Document:
    """A state in Validation with this many failed verdicts, in at most so many components."""
    kinds = list(names)
    used = [
        f"{kinds[number % len(kinds)]}-{number:02}" for number in range(min(components, max(blockers, 3)))
    ]
    verdicts: list[dict[str, Any]] = []
    for number in range(max(blockers, 3)):
        component = used[number % len(used)]
        passed = number >= blockers
        name = f"test_answers_on_every_port[{number}]"
        verdicts.append(
            {
                "component": component,
                "test_name": f"tests/test_{component.replace('-', '_')}.py::{name}",
                "passed": passed,
                "error_message": None if passed else MESSAGES[number * number % len(MESSAGES)],
                "tested_at": "2026-01-15T09:40:00Z",
            }
        )
    return Document(
        {
            "phase": "Validation",
            "started_at": "2026-01-15T09:00:00Z",
            "last_updated": "2026-01-15T09:40:00Z",
            "docker_containers_removed": [{"name": name, "id": "abc123"} for name in used],
            "native_processes_started": [
                {"name": name, "process_id": 4000 + number} for number, name in enumerate(used)
            ],
            "data_preserved": {f"{name}-config": f"/backups/{name}" for name in used},
            "validation_results": verdicts,
            "rollback_available": True,
            "metadata": {
                "migration_id": "4b4b4b4b",
                "migration_type": "docker_to_native",
                "platform": "linux",
                "open_runs": {
                    "7f3c": {"host": "ci-7", "process_id": 42, "started_at": "2026-01-15T09:30:00Z"},
                    "8a1d": {"host": "ci-8", "process_id": 43, "started_at": "2026-01-15T09:35:00Z"},
                },
            },
        }
    )


def context() -> Context:
    """A context in which one run is alive and one is dead."""
    return Context("migration-state.json", {"7f3c": "alive", "8a1d": "dead"})


@lru_cache
def judged(document: Document) -> Judged:
    """The state with the gate's result."""
    return Judged(document, evaluate(document, None, context()), context())


def history() -> list[Stay]:
    """Phases of some minutes each, the last of which was entered by force."""
    phases = [phase for phase in Phase if phase not in {Phase.COMPLETED, Phase.ROLLED_BACK}]
    times = [BEGAN + timedelta(minutes=7 * number) for number in range(len(phases))]
    passed = [
        Stay(phase, begun, ended)
        for phase, begun, ended in zip(phases[:-1], times[:-1], times[1:], strict=True)
    ]
    return [*passed, Stay(phases[-1], times[-1], forced="OPS-7: the window ends at 23:00")]


def show(document: Document, form: Form) -> Iterable[Block]:
    """What ``show`` prints."""
    entries = [
        {
            "timestamp": "2026-01-15T09:40:00Z",
            "level": "INFO",
            "action": "ValidationResult",
            "details": "Test 'tests/test_worker_00.py::test_answers[0]' for 'worker-00': FAILED",
        },
        {
            "timestamp": "2026-01-15T09:41:00Z",
            "level": "WARNING",
            "action": "GateBlocked",
            "details": "refused",
        },
    ]
    return overview(Overview(judged(document), history(), entries), form)


def gate(document: Document, form: Form) -> Iterable[Block]:
    """What ``gate`` prints."""
    return gate_report(judged(document), form)


class TerminalFile(io.TextIOWrapper):
    """A file that is a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass
class Screen:
    """A terminal that a test prints on.

    :ivar width: how many columns it has.
    :ivar encoding: its encoding.
    """

    width: int
    encoding: str = "utf-8"
    is_coloured: bool = False

    def printed(
        self, monkeypatch: pytest.MonkeyPatch, blocks: Iterable[Block], *, is_full: bool = False
    ) -> str:
        """What is printed on it."""
        monkeypatch.setenv("COLUMNS", str(self.width))
        monkeypatch.setenv("TERM", "xterm-256color")
        for name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("FORCE_COLOR" if self.is_coloured else "NO_COLOR", "1")
        buffer = io.BytesIO()
        file = TerminalFile(buffer, self.encoding, errors="strict", newline="\n")
        Terminal(file, is_full=is_full).print(blocks)
        file.flush()
        return buffer.getvalue().decode(self.encoding)

    @property
    def form(self) -> Form:
        """The form that it needs."""
        return Form(self.width, UNICODE if self.encoding == "utf-8" else ASCII)


def section(document: Document, width: int, verbosity: int = 0, problems: int = 0) -> list[str]:
    """The lines of pytest's section.

    :param problems: how many problems there were, and lost verdicts.
    """
    found = judged(document)
    summary = RunSummary(
        document=document,
        judged=GateAndCounts(found.gate, status_of(document)),
        context=found.context,
        policy=Policy(),
        address="/srv/migration-state.json",
        flaky={("worker-00", f"test_{number}"): 2 for number in range(9)},
        notices=[f"notice {number}" for number in range(9)],
        problems=[
            f"the verdict could not be written: {number} " + "because " * 30 for number in range(problems)
        ],
        unrecorded=[f"Test 'test_{number}' for 'worker-00': PASSED" * 4 for number in range(problems)],
        completion="not completed: the gate is shut" if found.gate.blockers else None,
    )
    return [text for text, _ in lines(summary, Form(width, is_full=verbosity > 0), verbosity)]
