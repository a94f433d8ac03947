"""HTTP servers for tests, each in a child process that ends with its parent.

The clients under test are Rust extensions, some of whose calls hold the GIL while they wait for an
answer: a server thread in the same interpreter could then never answer. A child also serves the
processes that a test starts, and costs the test no GIL time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from socketserver import BaseServer
from typing import Self

LOOPBACK = "127.0.0.1"
_ROOT = Path(__file__).parents[2]


class ChildServer:
    """A module that calls `serve`, run as a child; `url` is its address while it runs."""

    module: str

    def __init__(self) -> None:
        self.url = ""
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the child and wait until it listens. The child picks the port: no race for one."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", self.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            self.stop()
            raise RuntimeError(f"{self.module} did not start; its error is on stderr")

    def stop(self) -> None:
        """End the child."""
        if self._process is None:
            return
        with self._process:  # closes the pipes and waits
            self._process.terminate()
        self._process = None


def serve(server: BaseServer) -> None:
    """Print the address, then serve until the pipe from the parent closes: a killed test run leaves
    no server running."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    print(f"http://{LOOPBACK}:{server.server_address[1]}", flush=True)
    server.serve_forever()


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)
