"""A native process of this example: it does the jobs in the folder that its settings name.

``python service.py FOLDER`` reads ``FOLDER/settings.json``, and ends if that is of no use. A job is a text;
its result, in ``FOLDER/results``, is the text with the words of the settings replaced.
``FOLDER/ready.json`` says when the process is ready, and what is wrong with the folder for jobs.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

FOLDER = Path(sys.argv[1])
PAUSE = 0.02  # seconds between two checks of the folder
LIFE = 600.0  # seconds after which it ends by itself, if the script was killed and cannot stop it


def write(path: Path, text: str) -> None:
    """Write a file so that a reader finds either no file or the complete file."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def do(job: Path, words: dict[str, str]) -> None:
    text = job.read_text(encoding="utf-8").split()
    write(FOLDER / "results" / job.name, " ".join(words.get(word, word) for word in text))
    job.unlink()


def main() -> None:
    try:
        settings = json.loads((FOLDER / "settings.json").read_text(encoding="utf-8"))
        jobs, words = FOLDER / settings["jobs"], settings["words"]
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"settings.json cannot be used: {error}")
    (FOLDER / "results").mkdir(exist_ok=True)
    status = "healthy" if jobs.is_dir() else f"there is no folder {settings['jobs']}"
    write(FOLDER / "ready.json", json.dumps({"status": status}))
    end = time.monotonic() + LIFE
    while time.monotonic() < end:
        for job in sorted(jobs.glob("*.txt")):
            do(job, words)
        time.sleep(PAUSE)


if __name__ == "__main__":
    main()
