"""All tests were recorded once, and test_it.py has changed since the last commit."""

import subprocess
import sys
from pathlib import Path


def git(*arguments):
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@example.com", *arguments], check=True)


assert subprocess.call([sys.executable, "-m", "pytest", f"--migration-state={sys.argv[1]}"]) == 0
git("init", "--quiet")
# Bytecode that a worker of xdist is writing would be one more changed "test file" for the other.
Path(".gitignore").write_text("__pycache__/\n")
git("add", ".")
git("commit", "--quiet", "--message", "Begin")
with Path("test_it.py").open("a") as file:
    file.write("\n\ndef test_new():\n    pass\n")
