"""Create a repository in which test_it.py has changed since the last commit. No run was recorded."""

import subprocess
from pathlib import Path


def git(*arguments):
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@example.com", *arguments], check=True)


git("init", "--quiet")
# Bytecode written by one worker of xdist would be another changed "test file" for the other worker.
Path(".gitignore").write_text("__pycache__/\n")
git("add", ".")
git("commit", "--quiet", "--message", "Begin")
with Path("test_it.py").open("a") as file:
    file.write("\n\ndef test_new():\n    pass\n")
