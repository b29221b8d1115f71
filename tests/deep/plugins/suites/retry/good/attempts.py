"""Count the attempts of a test, also across processes."""

from pathlib import Path


def attempt(name):
    path = Path(f"attempts-of-{name}")
    with path.open("a") as file:
        file.write(".")
    return path.stat().st_size
