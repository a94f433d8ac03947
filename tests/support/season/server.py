"""The numbered bucket as a server that speaks S3 on loopback, and a control of its own.

It is a process of its own, because delta-rs and obstore may hold the interpreter while they wait.
Clients are told apart by their access key. Objects of the bucket are not copied for a rewind: a
season's bucket has some thousands.
"""

import pickle
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

from tests.support.child_server import LOOPBACK, serve
from tests.support.season.objects import Bucket, Change, Object

CONTROL = "/-/"
_CLIENT = re.compile(r"Credential=([^/]+)/")
_KEYS = re.compile(rb"<Key>(.*?)</Key>", re.DOTALL)
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass
class Request:
    """A request, read as a whole."""

    method: str
    key: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def client(self) -> str:
        """The access key that it is signed with."""
        found = _CLIENT.search(self.headers.get("authorization", ""))
        return found[1] if found else ""


@dataclass
class Answer:
    """An answer, and what its request changes."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] | None = None
    change: Change | None = None


def answer_to(bucket: Bucket, asked: Request) -> Answer:
    """What S3 answers; nothing is changed yet."""
    if asked.method == "PUT":
        return _put(bucket, asked)
    if asked.method == "POST":
        keys = [unescape(key.decode()) for key in _KEYS.findall(asked.body)]
        name = asked.key.partition("/")[0]
        gone = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
        change: Change = {f"{name}/{key}": None for key in keys}
        return Answer(200, f"<DeleteResult>{gone}</DeleteResult>".encode(), change=change)
    if asked.method == "DELETE":
        return Answer(204, change={asked.key: None})
    if "list-type" in asked.query:
        return _listing(bucket, asked)
    return _get(bucket, asked)


def _put(bucket: Bucket, asked: Request) -> Answer:
    old, source = bucket.objects.get(asked.key), asked.headers.get("x-amz-copy-source")
    if old and asked.headers.get("if-none-match") == "*":
        return _error(412, "PreconditionFailed")
    expected = asked.headers.get("if-match")
    if expected and (old is None or expected.strip('"') != old.etag):
        return _error(412, "PreconditionFailed")
    if source is None:
        new = bucket.new(asked.body)
        return Answer(200, headers={"ETag": f'"{new.etag}"'}, change={asked.key: new})
    found = bucket.objects.get(unquote(source).lstrip("/"))
    if found is None:
        return _error(404, "NoSuchKey")
    new = bucket.new(found.data)
    text = f'<CopyObjectResult><ETag>"{new.etag}"</ETag></CopyObjectResult>'
    return Answer(200, text.encode(), change={asked.key: new})


def _get(bucket: Bucket, asked: Request) -> Answer:
    found = bucket.objects.get(asked.key)
    if found is None:
        return _error(404, "NoSuchKey")
    headers = {
        "ETag": f'"{found.etag}"',
        "Last-Modified": formatdate(found.written_at, usegmt=True),
        "Accept-Ranges": "bytes",
    }
    part = _RANGE.match(asked.headers.get("range", ""))
    if not part:
        return Answer(200, found.data, headers)
    size = len(found.data)
    first = int(part[1]) if part[1] else max(0, size - int(part[2]))
    last = min(int(part[2]), size - 1) if part[1] and part[2] else size - 1
    headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    return Answer(206, found.data[first : last + 1], headers)


def _listing(bucket: Bucket, asked: Request) -> Answer:
    """All keys in one page."""
    top, delimiter = asked.key.strip("/") + "/", asked.query.get("delimiter", "")
    prefix, after = asked.query.get("prefix", ""), asked.query.get("start-after", "")
    parts, folders = [], set()
    for key in sorted(key for key in bucket.objects if key.startswith(top + prefix)):
        name = key.removeprefix(top)
        if name <= after:
            continue
        rest = name.removeprefix(prefix)
        if delimiter and delimiter in rest:
            folders.add(prefix + rest.partition(delimiter)[0] + delimiter)
        else:
            parts.append(_listed(name, bucket.objects[key]))
    parts += [
        f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>"
        for folder in sorted(folders)
    ]
    text = "".join(parts)
    return Answer(
        200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{text}</ListBucketResult>".encode()
    )


def _listed(name: str, found: Object) -> str:
    at = datetime.fromtimestamp(found.written_at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return (
        f"<Contents><Key>{escape(name)}</Key><LastModified>{at}</LastModified>"
        f'<ETag>"{found.etag}"</ETag><Size>{len(found.data)}</Size></Contents>'
    )


def _error(status: int, code: str) -> Answer:
    return Answer(status, f"<Error><Code>{code}</Code></Error>".encode())


class _Handler(StreamRequestHandler):
    """One connection. Python's own HTTP server takes three times as long for a request."""

    server: "_Server"
    disable_nagle_algorithm = True
    wbufsize = -1

    def handle(self) -> None:
        while (asked := self._read()) is not None:
            answer: Answer | None
            if asked.key.startswith(CONTROL):
                answer = self.server.control(asked.key.removeprefix(CONTROL), asked.body)
            else:
                answer = self.server.serve_one(asked)
            if answer is None:
                return
            self._write(asked.method, answer)

    def _read(self) -> Request | None:
        try:
            line = self.rfile.readline().decode("latin-1")
        except ConnectionError:
            return None
        if not line.strip():
            return None
        headers = {}
        while (header := self.rfile.readline().decode("latin-1").strip()) != "":
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        method, target, _ = line.split()
        url = urlsplit(target)
        key = unquote(url.path)
        query = {n: v[0] for n, v in parse_qs(url.query, keep_blank_values=True).items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        if not key.startswith(CONTROL):
            key = key.lstrip("/")
        return Request(method, key, query, headers, body)

    def _write(self, method: str, answer: Answer) -> None:
        headers = {"Content-Length": str(len(answer.body)), **(answer.headers or {})}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        body = b"" if method == "HEAD" else answer.body
        self.wfile.write(f"HTTP/1.1 {answer.status} X\r\n{lines}\r\n".encode("latin-1") + body)
        self.wfile.flush()


class _Server(ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__((LOOPBACK, 0), _Handler)
        self.bucket = Bucket()

    def serve_one(self, asked: Request) -> Answer | None:
        """Perform an operation; returns None if its answer is lost."""
        with self.bucket.turn:
            if asked.method == "PUT":
                self.bucket.wait_turn(asked.client, asked.key)
            answer = answer_to(self.bucket, asked)
            change = answer.change or {}
            fate = self.bucket.perform(asked.client, asked.method, asked.key, change)
            if fate == "failed":
                return _error(503, "SlowDown")
            return None if fate == "lost" else answer

    def control(self, name: str, body: bytes) -> Answer:
        """Call a method of the bucket, or of this server, with pickled arguments."""
        arguments = pickle.loads(body)
        if name == "settled":
            result: Any = self.settled(*arguments)
        else:
            with self.bucket.turn:
                result = self._call(name, arguments)
        return Answer(200, pickle.dumps(result))

    def _call(self, name: str, arguments: tuple[Any, ...]) -> Any:
        bucket = self.bucket
        if name in ("journal", "objects"):
            return getattr(bucket, name)
        if name in ("fault", "held", "ahead_s"):
            setattr(bucket, name, *arguments)
            bucket.released.clear()
        elif name == "put":
            bucket.objects[arguments[0]] = bucket.new(arguments[1])
        elif name == "delete":
            bucket.objects.pop(*arguments)
        elif name == "release":
            bucket.released.update(arguments)
        else:
            return getattr(bucket, name)(*arguments)
        bucket.turn.notify_all()
        return None

    def settled(self, clients: set[str], seconds: float) -> dict[str, str]:
        """The commits that clients wait with, once all of these do or the time is over."""
        with self.bucket.turn:
            self.bucket.turn.wait_for(
                lambda: all(
                    client in self.bucket.waiting and client not in self.bucket.released
                    for client in clients
                ),
                seconds,
            )
            return {
                client: key
                for client, key in self.bucket.waiting.items()
                if client not in self.bucket.released
            }


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    serve(_Server())
