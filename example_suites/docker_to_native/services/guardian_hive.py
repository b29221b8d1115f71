"""guardian-hive: an HTTP service that decides by the rules in its folder which commands may be run.

``python guardian_hive.py FOLDER`` listens on a free port of this machine and writes it to
``FOLDER/ready.json``.
"""

from __future__ import annotations

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from whole_files import write_json

FOLDER = Path(sys.argv[1])


class Handler(BaseHTTPRequestHandler):
    """Answer ``/health`` and ``/check?command=TEXT`` with JSON."""

    def do_GET(self) -> None:
        # Read the rules for each request, so that a changed rule takes effect at once.
        try:
            denied = json.loads((FOLDER / "rules" / "rules.json").read_text(encoding="utf-8"))["deny"]
        except (OSError, ValueError, KeyError) as error:
            self.answer(500, {"status": "unhealthy", "error": f"rules.json cannot be used: {error}"})
            return
        address = urlsplit(self.path)
        if address.path == "/health":
            self.answer(200, {"status": "healthy", "process_id": os.getpid()})
        elif address.path == "/check":
            command = parse_qs(address.query).get("command", [""])[0]
            self.answer(200, {"allowed": not any(command.startswith(start) for start in denied)})
        else:
            self.answer(404, {"error": f"there is no {address.path} here"})

    def answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    write_json(FOLDER / "ready.json", {"process_id": os.getpid(), "port": server.server_port})
    server.serve_forever()


if __name__ == "__main__":
    main()
