"""Run all tests once, and then make a change that affects one of them."""

import subprocess
import sys
from pathlib import Path

command = [sys.executable, "-m", "pytest", "--testmon", f"--migration-state={sys.argv[1]}"]
assert subprocess.call(command) == 0
shop = Path("shop.py")
shop.write_text(shop.read_text().replace("2 * count", "3 * count"))
