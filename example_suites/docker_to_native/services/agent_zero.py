"""agent-zero: reads its configuration from ``FOLDER/config`` at startup, and cannot start without it.

It listens on a free port of this machine, which it writes to ``FOLDER/ready.json``. A client sends the name
of a setting on one line, and receives one line of JSON with its value.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from socketserver import StreamRequestHandler, TCPServer

from whole_files import write_json

FOLDER = Path(sys.argv[1])


def read_settings() -> dict[str, object]:
    config = FOLDER / "config"
    settings: dict[str, object] = json.loads((config / "agent.json").read_text(encoding="utf-8"))
    return settings | {"instructions": (config / "instructions.txt").read_text(encoding="utf-8")}


def main() -> None:
    try:
        settings = read_settings()
    except (OSError, ValueError) as error:
        sys.exit(f"agent-zero cannot use its configuration: {error}")

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            question = self.rfile.readline().decode("utf-8").strip()
            answer = {"process_id": os.getpid(), "answer": settings.get(question)}
            self.wfile.write(json.dumps(answer).encode() + b"\n")

    server = TCPServer(("127.0.0.1", 0), Handler)
    write_json(FOLDER / "ready.json", {"process_id": os.getpid(), "port": server.server_address[1]})
    server.serve_forever()


if __name__ == "__main__":
    main()
