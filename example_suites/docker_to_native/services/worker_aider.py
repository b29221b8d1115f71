"""worker-aider: takes jobs from ``FOLDER/jobs`` and writes each one's result, under the same name, to ``FOLDER/results``.

A job is ``{"text": …}``; its result is the text with every word of ``FOLDER/settings/glossary.json`` replaced.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from whole_files import write_json

FOLDER = Path(sys.argv[1])
PAUSE = 0.02  # seconds between two looks at the folder


def result_of(job: Path) -> dict[str, object]:
    """What a job comes to. One that cannot be done has an error as its result, so that the next one gets its turn."""
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
            # The result first: a worker that dies in between does the job again and loses none.
            write_json(results / job.name, result_of(job))
            job.unlink()
        time.sleep(PAUSE)


if __name__ == "__main__":
    main()
