"""The server for `s3://`: moto."""

from __future__ import annotations

import logging
import threading
from typing import Any

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import BaseWSGIServer, make_server

from tests.support.child_server import LOOPBACK, serve


def make_s3_server() -> BaseWSGIServer:
    """A server on a free port; its objects are in memory."""
    app = DomainDispatcherApplication(create_backend_app)
    lock = threading.Lock()

    def one_at_a_time(environ: Any, start_response: Any) -> Any:
        # moto checks whether a key exists and then writes it: with two threads at once, two
        # conditional creates of one key could both succeed, which real S3 rules out.
        paid = environ["PATH_INFO"].startswith("/payer-") and environ["REQUEST_METHOD"] == "GET"
        if paid and environ.get("HTTP_X_AMZ_REQUEST_PAYER") != "requester":
            start_response("403 Forbidden", [("Content-Type", "application/xml")])
            return [b"<Error><Code>AccessDenied</Code></Error>"]
        with lock:
            return app(environ, start_response)

    return make_server(
        LOOPBACK, 0, one_at_a_time, threaded=True, request_handler=MotoRequestHandler
    )


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # else it prints a line per request
    serve(make_s3_server())
