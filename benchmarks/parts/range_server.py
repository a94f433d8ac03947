"""Files of a folder over HTTP on loopback: HEAD, and GET with ranges, for obstore and for GDAL.

    python -m benchmarks.parts.range_server FOLDER           # prints its port

It speaks as much of Google's XML interface as reading needs: an object is `/bench/NAME`. The kernel
sends the bytes, so that the client is what is measured.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from benchmarks.harness.own_process import ROOT

BUCKET = "bench"
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@contextmanager
def serving(folder: str) -> Iterator[str]:
    """Run a server in its own process; yields its address."""
    command = [sys.executable, "-m", __spec__.name, folder]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield f"127.0.0.1:{int(process.stdout.readline())}"  # type: ignore[union-attr]
    finally:
        process.terminate()
        process.wait()


class _Handler(BaseHTTPRequestHandler):
    """Answers for one connection, which is kept open."""

    protocol_version = "HTTP/1.1"
    folder = Path()

    def do_HEAD(self) -> None:
        """The headers of a file."""
        self._answer(with_body=False)

    def do_GET(self) -> None:
        """A file, or a range of it."""
        self._answer(with_body=True)

    def log_message(self, *_: object) -> None:
        """Nothing: a line for each request would be measured, too."""

    def _answer(self, with_body: bool) -> None:
        path = self.folder / unquote(self.path).removeprefix(f"/{BUCKET}/")
        if not path.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        size = path.stat().st_size
        asked = _RANGE.match(self.headers.get("Range", ""))
        start, end = (int(asked[1]), int(asked[2] or size - 1)) if asked else (0, size - 1)
        end = min(end, size - 1)
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(end + 1 - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{end}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", '"3f2e1d0c3f2e1d0c3f2e1d0c3f2e1d0c"')
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.end_headers()
        if with_body:
            self._send(path, start, end + 1)

    def _send(self, path: Path, start: int, end: int) -> None:
        self.wfile.flush()
        with path.open("rb") as file:
            while start < end:
                start += os.sendfile(self.connection.fileno(), file.fileno(), start, end - start)


def main() -> None:
    """Serve a folder."""
    _Handler.folder = Path(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
