import http.server
import json
import os
import threading

import pytest


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, content):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def do_GET(self):
        if self.path == "/jobs/1":
            self.answer(200, {"id": 1, "name": "first"})
        else:
            self.answer(404, {"error": "no such job"})

    def do_POST(self):
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(201, {"id": 1, **content})

    def log_message(self, *_):
        pass


@pytest.fixture(scope="session", autouse=True)
def service():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        os.environ["SERVICE"] = f"http://127.0.0.1:{server.server_port}"
        yield
        server.shutdown()
        thread.join()


def pytest_migration_component(item):
    return "comp"
