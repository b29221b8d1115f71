"""The code under the model: the rules of ``beside_model`` replaced by those of the package."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import beside_model as model

from pytest_migration_state.domain import events
from pytest_migration_state.domain.beside.past import Entry, Line
from pytest_migration_state.domain.beside.reckoning import is_whole, reckon, take_over
from pytest_migration_state.domain.document import Document, new_document
from pytest_migration_state.domain.events import AVAILABILITY, PASSED_OR_FAILED, Event, describe
from pytest_migration_state.domain.facts import time_of
from pytest_migration_state.domain.phases import FINAL_PHASES, Phase
from pytest_migration_state.domain.run_events import outstanding, planned
from pytest_migration_state.domain.verdict import Verdict

if TYPE_CHECKING:
    from pytest_migration_state.types import JsonObject, Key

_ZERO: Final = datetime(2026, 1, 15, 9, tzinfo=UTC)
#: When the migration of the model's start began.
_FIRST: Final = -1000.0
_PHASES: Final = {"Deploy": Phase.NATIVE_DEPLOYMENT.value}
_NAMES: Final = {name: short for short, name in _PHASES.items()}


def _stamp(time: float | None) -> str | None:
    if time is None:
        return None
    return (_ZERO + timedelta(seconds=time)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _time(stamp: str | None) -> float | None:
    found = time_of(stamp)
    return None if found is None else (found - _ZERO).total_seconds()


def _key(test: int) -> Key:
    return "component", f"test_{test}"


def _verdict(test: int, result: tuple[bool, float]) -> JsonObject:
    return Verdict(_key(test), result[0]).to_object(str(_stamp(result[1])))


def _started(mig: str) -> str | None:
    return _stamp(_FIRST if mig == "M0" else float(mig[1:]))


def _item(item: tuple[str, float]) -> JsonObject:
    return {"name": item[0], "id": "1", "removed_at": _stamp(item[1])}


def _pending(test: int) -> JsonObject:
    return outstanding("", _key(test), "pending") | {"since": None}


def _error(error: tuple[str, float] | None) -> JsonObject | None:
    return {"message": error[0], "occurred_at": _stamp(error[1])} if error else None


# --- from the model to the code -----------------------------------------------------------------------------


def document_of(doc: Any) -> Document:
    """Return a document of the model as one of the package."""
    found = new_document(_started(doc.mig), "", "linux").to_object()
    del found["metadata"]["migration_id"]
    phase, completed_at = doc.phase
    found |= {
        "phase": _PHASES.get(phase, phase),
        "completed_at": _stamp(completed_at),
        "docker_containers_removed": [_item(item) for item in sorted(doc.items)],
        "validation_results": [_verdict(test, one) for test, results in enumerate(doc.v) for one in results],
        "rollback_available": doc.roll,
        "error": _error(doc.err),
        "outstanding_validations": [_pending(test) for test in doc.out],
    }
    if doc.base is not None:
        found["metadata"]["audit"] = {"seq": doc.base, "hash": "0" * 64}
        found["metadata"]["migration_id"] = "id of " + str(found["started_at"])
    return Document(found)


def log_of(log: tuple[Any, ...]) -> list[Entry | Line]:
    """Return a log of the model as one of the package."""
    found: list[Entry | Line] = []
    for number, line in enumerate(log, 1):
        if type(line) is model.E:
            event = _event(line)
            found.append(Entry(line.seq, event.action, str(_stamp(line.ts)), event.data))
        else:
            content = {**_content(line.words), "timestamp": _stamp(line.ts), "level": "INFO"}
            found.append(Line(content, number))
    return found


def _content(words: tuple[Any, ...]) -> JsonObject:
    values: tuple[object, ...]
    match words:
        case ("init",):
            action, values = "Initialize", ()
        case ("v", test, passed):
            action, values = "ValidationResult", (f"test_{test}", "component", PASSED_OR_FAILED[passed])
        case ("phase", before, after):
            action, values = "PhaseTransition", (_PHASES.get(before, before), _PHASES.get(after, after))
        case ("roll", available):
            action, values = "RollbackAvailability", (AVAILABILITY[available],)
        case ("cont", name):
            action, values = "ContainerProcessed", (name, "1")
        case ("err", message):
            return {"action": "Error", "details": message}
        case _:
            raise ValueError(words)
    return {"action": action, "details": describe(action, *values)}


def _event(entry: Any) -> Event:
    now, data = str(_stamp(entry.ts)), entry.data
    match entry.kind:
        case "init":
            event = _beginning(data)
        case "v":
            event = events.verdict_recorded(now, Verdict(_key(data[0]), data[1]))
        case "plan":
            event = planned([_pending(data)])
        case "phase":
            phase = Phase(_PHASES.get(data, data))
            final = phase in FINAL_PHASES
            event = events.phase_changed(now, Phase.VALIDATION, phase, final=final, forced=None)
        case "roll":
            event = events.rollback_set(data)
        case "err":
            event = events.error_set(now, data)
        case "cont":
            event = events.container_removed(now, data, "1")
        case "ext":
            event = Event("ExternalChange", "", json.loads(next(c[1] for c in data if c[0] == "code")))
        case _:
            event = Event("Note", "", {})
    return event


def _beginning(state: Any) -> Event:
    """Return the beginning of the model's migration, which is in Validation already."""
    started = str(_started(state.mig))
    event = events.initialized(started, "id of " + started, "linux", "state.json")
    verdicts = [_verdict(test, one) for test, one in enumerate(state.v) if one]
    phase, completed_at = state.phase
    more = {
        "phase": _PHASES.get(phase, phase),
        "completed_at": _stamp(completed_at),
        "validation_results": verdicts,
    }
    return event._replace(data=event.data | more)


# --- from the code to the model -----------------------------------------------------------------------------


def _mig(started_at: str | None) -> str:
    time = _time(started_at)
    return "M0" if time == _FIRST else f"I{_number(time)}"


def _number(time: float | None) -> float | int | None:
    return int(time) if time is not None and time == int(time) else time


def _result(verdict: JsonObject) -> tuple[bool, Any]:
    return verdict["passed"], _number(_time(verdict["tested_at"]))


def _container(item: JsonObject) -> tuple[str, Any]:
    return item["name"], _number(_time(item["removed_at"]))


def _test(named: JsonObject) -> int:
    return int(named["test_name"].removeprefix("test_"))


def state_of(document: Document) -> Any:
    """Return a document of the package as a state of the model."""
    fields = document.fields
    verdicts = {_test(verdict): _result(verdict) for verdict in document.verdicts.values()}
    phase = _NAMES.get(fields["phase"], fields["phase"])
    error = fields["error"]
    return model.S(
        _mig(fields["started_at"]),
        (phase, _number(_time(fields["completed_at"]))),
        tuple(verdicts.get(test) for test in range(model.NT)),
        document.rollback_available,
        (error["message"], _number(_time(error["occurred_at"]))) if error else None,
        frozenset(map(_container, fields["docker_containers_removed"])),
        frozenset(_test(entry) for entry in document.outstanding.values()),
    )


def _in_terms_of_the_model(data: JsonObject) -> tuple[Any, ...]:
    found: list[Any] = [("code", json.dumps(data))]
    if adopted := data.get("adopted"):
        document = new_document(None, "", "")
        document.adopt(adopted)
        found.append(("init", state_of(document), not data.get("line_owed")))
    for key, settles in (("validation_results", True), ("failed_meanwhile", False)):
        found += [("v", _test(one), _result(one), settles, "") for one in data.get(key, ())]
    found += [("seen", _test(one), _result(one)) for one in data.get("superseded", ())]
    refused = [one["verdict"] for one in data.get("refused", ()) if "verdict" in one]
    found += [("refused", _test(one), _result(one)) for one in refused]
    if "phase" in data:
        stage = (_NAMES.get(data["phase"], data["phase"]), _number(_time(data["completed_at"])))
        found.append(("phase", stage, ()))
    if "rollback_available" in data:
        found.append(("roll", data["rollback_available"]))
    if "error" in data:
        found.append(("err", (data["error"]["message"], _number(_time(data["error"]["occurred_at"])))))
    for item in data.get("docker_containers_removed", ()):
        found.append(("cont", _container(item), ""))
    return tuple(found)


def interpret(log: tuple[Any, ...], doc: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return what the package makes of a world of the model, in the model's terms."""
    found = None if doc in (None, model.CUT) else document_of(doc)
    logged = log_of(log)
    if model.OPT["shared"]:
        last = max((index for index, line in enumerate(logged) if isinstance(line, Entry)), default=-1)
        logged = logged[: last + 1]
    if not is_whole([line for line in logged if isinstance(line, Entry)]):
        if found is None:
            # The package refuses to go on here. The model begins with what its worlds begin with.
            found = document_of(model.doc_of(model.FRESH, 0)._replace(base=None))
        lines = [line for line in logged if isinstance(line, Line)]
        taken = take_over(found, lines, now=str(_stamp(0)), platform="linux")
        return state_of(taken.document), _in_terms_of_the_model(taken.change.to_event().data)
    fits = found is not None and model.fits(doc)
    reckoned = reckon(logged, found, fits=fits, now=str(_stamp(0)), platform="linux")
    external = _in_terms_of_the_model(reckoned.change.to_event().data) if reckoned.change else ()
    return state_of(reckoned.document), external


def use_the_code() -> None:
    """Have the model judge the rules of the package instead of its own."""
    model.RULES["K"] = interpret
