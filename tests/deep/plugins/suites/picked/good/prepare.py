"""Record all tests once, commit them, and then change test_it.py."""

import subprocess
import sys
from pathlib import Path


def git(*arguments):
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@example.com", *arguments], check=True)


assert subprocess.call([sys.executable, "-m", "pytest", f"--migration-state={sys.argv[1]}"]) == 0
git("init", "--quiet")
# Bytecode written by one worker of xdist would be another changed "test file" for the other worker.
Path(".gitignore").write_text("__pycache__/\n")
git("add", ".")
git("commit", "--quiet", "--message", "Begin")
with Path("test_it.py").open("a") as file:
    file.write("\n\ndef test_new():\n    pass\n")
