"""worker-aider does the jobs in its folder, including one from the container's time."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Native

pytestmark = pytest.mark.migration_component("worker-aider")

LIMIT = 5.0  # seconds within which a job must be done


def result_of(native: Native, job: str) -> Any:
    """Wait for the result of a job, and return it."""
    result = native.folder / "results" / f"{job}.json"
    deadline = time.monotonic() + LIMIT
    while not result.exists():
        assert time.monotonic() < deadline, f"the job {job} has no result after {LIMIT:g} s"
        time.sleep(0.02)
    return json.loads(result.read_text(encoding="utf-8"))


def do(native: Native, job: str, content: str) -> Any:
    """Put a job into the worker's folder in one step, and wait for its result."""
    unfinished = native.folder / "jobs" / f"{job}.unfinished"
    unfinished.write_text(content, encoding="utf-8")
    unfinished.rename(unfinished.with_suffix(".json"))
    return result_of(native, job)


def text_of(native: Native, result: Any) -> str:
    """Return the text of a result, which must come from the process that the migration started."""
    assert "error" not in result, f"the worker could not do the job: {result['error']}"
    assert result["process_id"] == native.process_id
    return str(result["text"])


def test_does_the_job_left_by_the_container(native: Native) -> None:
    """The job that was waiting when the container was removed has been done."""
    assert text_of(native, result_of(native, "left-by-the-container")) == "the process is started"


def test_does_a_new_job(native: Native) -> None:
    """A new job is done with the container's glossary."""
    result = do(native, "new", json.dumps({"text": "one image for each container"}))
    assert text_of(native, result) == "one program for each process"


def test_malformed_job_does_not_stop_the_worker(native: Native) -> None:
    """The result of a job that cannot be done is an error, and the next job is done."""
    assert "malformed.json cannot be used" in do(native, "malformed", "{")["error"]
    assert text_of(native, do(native, "after-malformed", json.dumps({"text": "image"}))) == "program"
