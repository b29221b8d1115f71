"""A service within the process, without a network."""

import json

SCHEMA = {
    "openapi": "3.0.3",
    "info": {"title": "jobs", "version": "1"},
    "paths": {
        "/jobs": {"get": {"responses": {"200": {"description": "all", "content": {"application/json": {"schema": {"type": "array"}}}}}}},
        "/jobs/{number}": {
            "get": {
                "parameters": [{"name": "number", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 0}}],
                "responses": {"200": {"description": "one"}, "400": {"description": "no number"}, "404": {"description": "none"}},
            }
        },
    },
}

#: The operation that answers with a server error.
BROKEN = "/jobs/{number}"


def app(environ, start_response):
    path = environ["PATH_INFO"]
    operation = "/jobs/{number}" if path.startswith("/jobs/") else path
    if operation == BROKEN:
        status, content = "500 Internal Server Error", {"error": "port 8080"}
    elif path == "/openapi.json":
        status, content = "200 OK", SCHEMA
    elif path == "/jobs":
        status, content = "200 OK", []
    elif path.startswith("/jobs/"):
        number = path.removeprefix("/jobs/")
        status, content = ("200 OK", {"id": number}) if number.isdigit() else ("400 Bad Request", {})
    else:
        status, content = "404 Not Found", {}
    if environ["REQUEST_METHOD"] != "GET":
        status, content = "405 Method Not Allowed", {}
    start_response(status, [("Content-Type", "application/json"), ("Allow", "GET")])
    return [json.dumps(content).encode()]
