"""The numbered bucket from the outside: its control, and the environment of its clients."""

import http.client
import os
import pickle
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.child_server import ChildServer
from tests.support.season.objects import Object, Operation
from tests.support.season.server import CONTROL

BUCKET = "bottle"
_CERTIFICATE = Path(__file__).with_name("certificate.pem")
OUTPUT, CHIPS = f"s3://{BUCKET}/out", f"s3://{BUCKET}/chips"


class Bottle(ChildServer):
    """The server, with a method for each of its controls."""

    module = "tests.support.season.server"

    def env(self, client: str = "A") -> dict[str, str]:
        """The environment in which a process is this client."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": client,
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            # Opening a table loads all certificates that are trusted, although the server speaks
            # http: with only one, a night takes a sixth less.
            "SSL_CERT_FILE": str(_CERTIFICATE),
            "SSL_CERT_DIR": "",
        }

    def empty(self) -> None:
        """Delete everything."""
        self._call("empty")

    def begin(self) -> None:
        """Number the next operation 1."""
        self._call("begin")

    def journal(self) -> list[Operation]:
        """The operations since `begin`."""
        found: list[Operation] = self._call("journal")
        return found

    def record(self, name: str) -> list[Operation]:
        """Remember the operations since `begin`, and return them."""
        self._call("record", name)
        return self.journal()

    def crash(self, name: str, operations: int) -> None:
        """Leave what a client leaves that dies after this many operations of a record."""
        self._call("crash", name, operations)

    def save(self, name: str) -> None:
        """Remember what is there."""
        self._call("save", name)

    def load(self, name: str) -> None:
        """Bring it back."""
        self._call("load", name)

    def age(self) -> None:
        """Make everything days old."""
        self._call("age")

    def set_clock(self, seconds: float) -> None:
        """Let the server's clock show this time, in seconds since 1970."""
        self._call("ahead_s", seconds - time.time())

    def fail(self, write: int, fate: str) -> None:
        """Do what the n-th request that writes asks for, and lose its answer (`lost`), or answer
        503 (`failed`)."""
        self._call("fault", (write, fate))

    def objects(self) -> dict[str, Object]:
        """All objects by key, without the bucket's name."""
        found = self._call("objects")
        return {key.removeprefix(f"{BUCKET}/"): each for key, each in found.items()}

    def put(self, name: str, data: bytes) -> None:
        """Store an object, as no operation."""
        self._call("put", f"{BUCKET}/{name}", data)

    def etag(self, name: str) -> str:
        """The etag of an object."""
        found: str = self._call("etag_of", f"{BUCKET}/{name}")
        return found

    def delete(self, name: str) -> None:
        """Delete an object, as no operation."""
        self._call("delete", f"{BUCKET}/{name}")

    def hold(self, *clients: str) -> None:
        """Let the commits of these clients wait, and those of no others."""
        self._call("held", set(clients))

    def release(self, client: str) -> None:
        """Let one commit of a client through."""
        self._call("release", client)

    def settled(self, clients: set[str], seconds: float) -> dict[str, str]:
        """The commits that wait, once each of these clients has one or the time is over."""
        found: dict[str, str] = self._call("settled", clients, seconds)
        return found

    def _call(self, name: str, *arguments: Any) -> Any:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc)
        try:
            connection.request("POST", CONTROL + name, pickle.dumps(arguments))
            return pickle.loads(connection.getresponse().read())
        finally:
            connection.close()
