"""worker-aider: takes jobs from ``FOLDER/jobs`` and writes their results to ``FOLDER/results``.

A job is ``{"text": …}``. Its result has the same name, and contains the text in which the words of
``FOLDER/settings/glossary.json`` are replaced.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from whole_files import write_json

FOLDER = Path(sys.argv[1])
PAUSE = 0.02  # seconds between two checks of the folder


def result_of(job: Path) -> dict[str, object]:
    """Return the result of a job.

    If the job cannot be done, its result is an error, and the worker continues with the next job.
    """
    file = FOLDER / "settings" / "glossary.json"
    try:
        glossary = json.loads(file.read_text(encoding="utf-8"))
        file = job
        words = json.loads(file.read_text(encoding="utf-8"))["text"].split()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return {"error": f"{file.name} cannot be used: {error}", "process_id": os.getpid()}
    return {"text": " ".join(glossary.get(word, word) for word in words), "process_id": os.getpid()}


def main() -> None:
    jobs, results = FOLDER / "jobs", FOLDER / "results"
    results.mkdir(exist_ok=True)
    write_json(FOLDER / "ready.json", {"process_id": os.getpid()})
    while True:
        for job in sorted(jobs.glob("*.json")):
            # Write the result first: a worker killed in between does the job again, and no job is lost.
            write_json(results / job.name, result_of(job))
            job.unlink()
        time.sleep(PAUSE)


if __name__ == "__main__":
    main()
