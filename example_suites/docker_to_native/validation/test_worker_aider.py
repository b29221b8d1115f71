"""worker-aider does the jobs that are laid into its folder, those of the container's time too."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Native

pytestmark = pytest.mark.migration_component("worker-aider")

LIMIT = 5.0  # seconds that a job may take


def result_of(native: Native, job: str) -> Any:
    """Wait for the result of a job."""
    result = native.folder / "results" / f"{job}.json"
    deadline = time.monotonic() + LIMIT
    while not result.exists():
        assert time.monotonic() < deadline, f"the job {job} has no result after {LIMIT:g} s"
        time.sleep(0.02)
    return json.loads(result.read_text(encoding="utf-8"))


def do(native: Native, job: str, content: str) -> Any:
    """Lay a job into the worker's folder, whole or not at all, and wait for its result."""
    unfinished = native.folder / "jobs" / f"{job}.unfinished"
    unfinished.write_text(content, encoding="utf-8")
    unfinished.rename(unfinished.with_suffix(".json"))
    return result_of(native, job)


def text_of(native: Native, result: Any) -> str:
    """The text that a job came to, done by the process that the migration started."""
    assert "error" not in result, f"the worker could not do the job: {result['error']}"
    assert result["process_id"] == native.process_id
    return str(result["text"])


def test_job_left_by_the_container(native: Native) -> None:
    """The job that was waiting when the container was removed is done now."""
    assert text_of(native, result_of(native, "left-by-the-container")) == "the process is started"


def test_new_job(native: Native) -> None:
    """A new job is done with the container's glossary."""
    result = do(native, "new", json.dumps({"text": "one image for each container"}))
    assert text_of(native, result) == "one program for each process"


def test_malformed_job_stops_nothing(native: Native) -> None:
    """A job that cannot be done has an error as its result, and the next job is done."""
    assert "malformed.json cannot be used" in do(native, "malformed", "{")["error"]
    assert text_of(native, do(native, "after-malformed", json.dumps({"text": "image"}))) == "program"
