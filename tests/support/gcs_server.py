"""The server for `gs://`: gcp-storage-emulator, with the XML API added.

The emulator has the JSON API that google-cloud-storage and Beam use. obstore and delta-rs use the
XML API, which is added here over the same objects in memory: what one kind of client writes, the
other can read.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import logging
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from email.utils import format_datetime, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import objects
from gcp_storage_emulator.server import Router
from gcp_storage_emulator.storage import Storage

from tests.support.child_server import LOOPBACK, serve

_JSON_API = re.compile(r"/(?:(?:upload|download|batch)/)?storage/v1(?:[/?]|$)")
_PERMISSIONS = re.compile(r"/storage/v1/b/([^/]+)/iam/testPermissions")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PAGE = 1000

PAID_BY_READERS = "payer-"
"""Buckets whose names begin like this are read only by those who name a project that pays."""

_LISTING = re.compile(rf"/storage/v1/b/{PAID_BY_READERS}[^/]*/o\?")

# XML API header -> field of the JSON API's object resource.
_STORED_HEADERS = {
    "Content-Type": "contentType",
    "Cache-Control": "cacheControl",
    "Content-Disposition": "contentDisposition",
    "Content-Encoding": "contentEncoding",
    "Content-Language": "contentLanguage",
}


class _HttpError(Exception):
    """An answer other than success."""

    def __init__(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(code)
        self.status, self.code, self.headers = status, code, headers or {}


class _Reply(NamedTuple):
    status: int = 200
    headers: Mapping[str, str] = {}
    body: bytes = b""


class _Upload(NamedTuple):
    """An XML multipart upload under way."""

    bucket: str
    name: str
    metadata: dict[str, Any]
    parts: dict[int, bytes]


class _GcsStorage(Storage):
    """The emulator's storage, with what GCS promises and the emulator leaves out."""

    def __init__(self) -> None:
        super().__init__(use_memory_fs=True)
        # Set for the length of one request. The emulator ignores preconditions, which would make
        # every conditional create succeed: two writers would each believe that theirs was first.
        self.if_generation_match: str | None = None
        self.uploads: dict[str, _Upload] = {}

    def _write_config_to_file(self) -> None:
        """Do nothing: nothing outlives this process, and writing all metadata each time is slow."""

    def _object_path(self, bucket_name: str, file_name: str) -> str:
        """Keep names such as ``a//b``, ``../a`` or ``a\\b`` apart: they are names, not paths."""
        return f"{bucket_name}/{file_name.encode().hex()}"

    def _check_generation(self, bucket: str, name: str) -> None:
        wanted = self.if_generation_match
        live = self.objects.get(bucket, {}).get(name)
        if wanted is not None and wanted != (live["generation"] if live else "0"):
            raise _HttpError(412, "PreconditionFailed")

    def create_file(
        self, bucket_name: str, file_name: str, content: bytes, file_obj: Any, file_id: Any = None
    ) -> None:
        if bucket_name in self.buckets:
            self._check_generation(bucket_name, file_name)
        # The emulator leaves the name bare in the link by which google-cloud-storage downloads.
        base = file_obj["mediaLink"].partition("/download/")[0]
        file_obj["mediaLink"] = (
            f"{base}/download/storage/v1/b/{bucket_name}/o/{quote(file_name, safe='')}"
            f"?generation={file_obj['generation']}&alt=media"
        )
        super().create_file(bucket_name, file_name, content, file_obj, file_id)

    def delete_file(self, bucket_name: str, file_name: str) -> None:
        self.get_file_obj(bucket_name, file_name)  # absent is 404, whatever the condition
        self._check_generation(bucket_name, file_name)
        super().delete_file(bucket_name, file_name)


class _GcsServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__((LOOPBACK, 0), _GcsHandler)
        self.storage = _GcsStorage()
        # One request at a time: neither the storage nor a check-then-write is thread-safe.
        self.lock = threading.Lock()


class _GcsHandler(BaseHTTPRequestHandler):
    """Passes JSON API requests to the emulator's router and answers XML API requests itself."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _GcsServer

    @property
    def storage(self) -> _GcsStorage:
        return self.server.storage

    def _serve(self) -> None:
        body = self._read_body()
        answer = self._json_api if _JSON_API.match(self.path) else self._xml_api
        with self.server.lock:
            data = answer(body)
        # Written after the lock is released, so that a slow reader does not block the others.
        self.wfile.write(data)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _serve

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: one line per request would hide the test's own output."""

    def _read_body(self) -> bytes:
        """The whole body, because what a route leaves unread would break keep-alive."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        del self.headers["Transfer-Encoding"]
        self.headers["Content-Length"] = str(len(body))
        return body

    def _render(self, reply: _Reply) -> bytes:
        connection, self.wfile = self.wfile, BytesIO()
        try:
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            sized = {"Content-Length", "Transfer-Encoding"}.intersection(reply.headers)
            if not sized and reply.status not in (204, 304):
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            return self.wfile.getvalue() + reply.body
        finally:
            self.wfile = connection

    def _json_api(self, body: bytes) -> bytes:
        query = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        self.storage.if_generation_match = query.get("ifGenerationMatch")
        rfile, wfile = self.rfile, self.wfile
        self.rfile, self.wfile = BytesIO(body), BytesIO()
        try:
            if _LISTING.match(self.path) and "userProject" not in query:
                raise _HttpError(400, "UserProjectMissing")
            if asked := _PERMISSIONS.match(self.path):
                return self._permissions(asked[1])
            Router(self).handle(self.command)
            return self.wfile.getvalue()
        except _HttpError as error:
            payload = {"error": {"code": error.status, "message": error.code}}
            headers = {"Content-Type": "application/json"}
            return self._render(_Reply(error.status, headers, json.dumps(payload).encode()))
        finally:
            self.rfile, self.wfile = rfile, wfile

    def _permissions(self, bucket: str) -> bytes:
        """Everything is permitted, but a bucket named readonly-... may only be read."""
        if bucket not in self.storage.buckets:
            raise _HttpError(404, "notFound")
        asked = dict.fromkeys(v for _, v in parse_qsl(urlsplit(self.path).query))
        granted = [n for n in asked if "readonly-" not in bucket or n.endswith((".get", ".list"))]
        answer = json.dumps({"permissions": granted}).encode()
        return self._render(_Reply(200, {"Content-Type": "application/json"}, answer))

    def _xml_api(self, body: bytes) -> bytes:
        url = urlsplit(self.path)
        bucket, _, name = url.path.lstrip("/").partition("/")
        call = _XmlCall(
            self.storage,
            self.headers,
            unquote(bucket),
            unquote(name),
            dict(parse_qsl(url.query, keep_blank_values=True)),
            body,
        )
        try:
            reply = call.answer(self.command)
        except _HttpError as error:
            xml = b"" if self.command == "HEAD" else _xml("Error", [_tag("Code", error.code)])
            headers = {"Content-Type": "application/xml", **error.headers}
            reply = _Reply(error.status, headers, b"" if error.status == 304 else xml)
        return self._render(reply)


class _XmlCall:
    """One request of the XML API.

    https://cloud.google.com/storage/docs/xml-api/reference-methods
    """

    def __init__(
        self,
        storage: _GcsStorage,
        headers: Any,
        bucket: str,
        name: str,
        query: dict[str, str],
        body: bytes,
    ) -> None:
        self.storage, self.headers = storage, headers
        self.bucket, self.name, self.query, self.body = bucket, name, query, body

    def answer(self, method: str) -> _Reply:
        if not self.bucket:
            return _Reply(body=b"OK")
        if self.bucket not in self.storage.buckets:
            raise _HttpError(404, "NoSuchBucket")
        if self.bucket.startswith(PAID_BY_READERS) and not self.headers.get("x-goog-user-project"):
            raise _HttpError(400, "UserProjectMissing")
        self.storage.if_generation_match = self.headers.get("x-goog-if-generation-match")
        return self._route(method)()

    def _route(self, method: str) -> Callable[[], _Reply]:
        routes: dict[str, Callable[[], _Reply]] = {}
        if not self.name:
            routes = {"GET": self.list_objects, "HEAD": _Reply}
        elif "uploads" in self.query:
            routes = {"POST": self.start_upload}
        elif "uploadId" in self.query:
            routes = {"PUT": self.put_part, "POST": self.finish_upload, "DELETE": self.abort_upload}
        elif self.headers.get("x-goog-copy-source"):
            routes = {"PUT": self.copy}
        else:
            routes = {"GET": self.get, "HEAD": self.head, "PUT": self.put, "DELETE": self.delete}
        if method not in routes:
            raise _HttpError(405, "MethodNotAllowed")
        return routes[method]

    # Objects

    def put(self) -> _Reply:
        stored = self._store(self.body, self._metadata())
        return _Reply(headers=_version_headers(stored))

    def get(self) -> _Reply:
        found = self._find()
        data = self.storage.get_file(self.bucket, self.name)
        if self._is_decompressed(found):
            plain = gzip.decompress(data)
            return _Reply(
                200, _decompressed_headers(found), b"%x\r\n%b\r\n0\r\n\r\n" % (len(plain), plain)
            )
        headers = _object_headers(found)
        wanted = _byte_range(self.headers.get("Range"), len(data))
        if wanted is None:
            return _Reply(200, headers, data)
        start, end = wanted
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
        return _Reply(206, headers, data[start:end])

    def head(self) -> _Reply:
        found = self._find()
        if self._is_decompressed(found):
            return _Reply(headers=_decompressed_headers(found))
        return _Reply(headers={**_object_headers(found), "Content-Length": str(found["size"])})

    def delete(self) -> _Reply:
        try:
            self.storage.delete_file(self.bucket, self.name)
        except NotFound:
            raise _HttpError(404, "NoSuchKey") from None
        return _Reply(204)

    def copy(self) -> _Reply:
        source = unquote(self.headers["x-goog-copy-source"]).lstrip("/")
        bucket, _, name = source.partition("/")
        try:
            metadata = self.storage.get_file_obj(bucket, name)
            data = self.storage.get_file(bucket, name)
        except NotFound:
            raise _HttpError(404, "NoSuchKey") from None
        stored = self._store(data, metadata)
        body = [_tag("ETag", _etag(stored)), _tag("LastModified", stored["updated"])]
        return _Reply(200, _version_headers(stored), _xml("CopyObjectResult", body))

    def _find(self) -> dict[str, Any]:
        """The object asked for, if the request's conditions let it be read."""
        try:
            found: dict[str, Any] = self.storage.get_file_obj(self.bucket, self.name)
        except NotFound:
            raise _HttpError(404, "NoSuchKey") from None
        if self.query.get("generation", found["generation"]) != found["generation"]:
            raise _HttpError(404, "NoSuchKey")
        _check_conditions(self.headers, found)
        return found

    def _is_decompressed(self, found: dict[str, Any]) -> bool:
        """Whether GCS decompresses it (https://cloud.google.com/storage/docs/transcoding)."""
        asked = self.headers.get("Accept-Encoding") or ""
        return found.get("contentEncoding") == "gzip" and "gzip" not in asked

    def _metadata(self) -> dict[str, Any]:
        metadata: dict[str, Any] = {
            field: self.headers[header]
            for header, field in _STORED_HEADERS.items()
            if self.headers.get(header)
        }
        custom = {
            key[len("x-goog-meta-") :].lower(): value
            for key, value in self.headers.items()
            if key.lower().startswith("x-goog-meta-")
        }
        return {**metadata, "metadata": custom}

    def _store(self, data: bytes, metadata: dict[str, Any]) -> dict[str, Any]:
        content_type = metadata.get("contentType") or "application/octet-stream"
        resource = objects._make_object_resource(
            f"http://{self.headers.get('Host')}",
            self.bucket,
            self.name,
            content_type,
            str(len(data)),
            metadata,
        )
        resource = {**objects._checksums(data, resource), "metageneration": "1"}
        self.storage.create_file(self.bucket, self.name, data, resource)
        return resource

    # Multipart uploads

    def start_upload(self) -> _Reply:
        upload_id = uuid.uuid4().hex
        self.storage.uploads[upload_id] = _Upload(self.bucket, self.name, self._metadata(), {})
        tags = [
            _tag("Bucket", self.bucket),
            _tag("Key", self.name),
            _tag("UploadId", upload_id),
        ]
        return _Reply(body=_xml("InitiateMultipartUploadResult", tags))

    def put_part(self) -> _Reply:
        self._upload().parts[int(self.query["partNumber"])] = self.body
        return _Reply(headers={"ETag": f'"{hashlib.md5(self.body).hexdigest()}"'})

    def finish_upload(self) -> _Reply:
        """Join the parts that the request names, in its order, as long as it has their ETags."""
        upload = self._upload()
        data = b"".join(self._part(upload, part) for part in ElementTree.fromstring(self.body))
        stored = self._store(data, upload.metadata)
        del self.storage.uploads[self.query["uploadId"]]
        tags = [_tag("Bucket", self.bucket), _tag("Key", self.name), _tag("ETag", _etag(stored))]
        body = _xml("CompleteMultipartUploadResult", tags)
        return _Reply(200, _version_headers(stored), body)

    def abort_upload(self) -> _Reply:
        self._upload()
        del self.storage.uploads[self.query["uploadId"]]
        return _Reply(204)

    def _upload(self) -> _Upload:
        upload = self.storage.uploads.get(self.query["uploadId"])
        if upload is None or (upload.bucket, upload.name) != (self.bucket, self.name):
            raise _HttpError(404, "NoSuchUpload")
        return upload

    @staticmethod
    def _part(upload: _Upload, named: ElementTree.Element) -> bytes:
        fields = {child.tag.rpartition("}")[2]: child.text or "" for child in named}
        data = upload.parts.get(int(fields.get("PartNumber", 0)))
        if data is None or hashlib.md5(data).hexdigest() != fields.get("ETag", "").strip('"'):
            raise _HttpError(400, "InvalidPart")
        return data

    # Listing

    def list_objects(self) -> _Reply:
        """One page of names in order, those that share a prefix up to the delimiter rolled up.

        The token is the last name that a page consumed, even within a rolled-up prefix: so a page
        never repeats a prefix that the page before had shown.
        """
        after = self.query.get("continuation-token") or self.query.get("start-after", "")
        prefix, delimiter = self.query.get("prefix", ""), self.query.get("delimiter", "")
        limit = min(int(self.query.get("max-keys", _PAGE)), _PAGE)
        found, _ = self.storage.get_file_list(self.bucket, prefix)
        contents: list[str] = []
        folders: list[str] = []
        last, truncated = "", False
        for item in (item for item in found if item["name"] > after):
            folder = _folder(item["name"], prefix, delimiter)
            if not (folder and folders and folders[-1] == folder):
                if truncated := len(contents) + len(folders) >= limit:
                    break
                (folders if folder else contents).append(folder or _listed(item))
            last = item["name"]
        tags = [
            _tag("Name", self.bucket),
            _tag("Prefix", prefix),
            _tag("KeyCount", str(len(contents) + len(folders))),
            _tag("MaxKeys", str(limit)),
            _tag("IsTruncated", str(truncated).lower()),
            *([_tag("NextContinuationToken", last)] if truncated else []),
            *contents,
            *(f"<CommonPrefixes>{_tag('Prefix', folder)}</CommonPrefixes>" for folder in folders),
        ]
        return _Reply(
            headers={"Content-Type": "application/xml"}, body=_xml("ListBucketResult", tags)
        )


def _folder(name: str, prefix: str, delimiter: str) -> str:
    """The common prefix that replaces this name in a listing, or none."""
    head, found, _ = name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
    return prefix + head + delimiter if found else ""


def _listed(item: dict[str, Any]) -> str:
    # Without quotes, unlike in a header and unlike moto's listing: clients meet both spellings,
    # so code that compares ETags without normalising them fails on one of the two stores.
    tags = [
        _tag("Key", item["name"]),
        _tag("Generation", item["generation"]),
        _tag("MetaGeneration", item["metageneration"]),
        _tag("LastModified", item["updated"]),
        _tag("ETag", _etag(item).strip('"')),
        _tag("Size", str(item["size"])),
        _tag("StorageClass", item["storageClass"]),
    ]
    return f"<Contents>{''.join(tags)}</Contents>"


def _xml(root: str, tags: Iterable[str]) -> bytes:
    namespace = "http://doc.s3.amazonaws.com/2006-03-01"
    head = f"<?xml version='1.0' encoding='UTF-8'?><{root} xmlns='{namespace}'>"
    return f"{head}{''.join(tags)}</{root}>".encode()


def _tag(name: str, value: str) -> str:
    """An element; control characters as references, since parsers alter bare line ends."""
    text = _CONTROL.sub(lambda found: f"&#{ord(found[0])};", escape(value))
    return f"<{name}>{text}</{name}>"


def _etag(resource: dict[str, Any]) -> str:
    """The XML API's ETag: the MD5 in hex, unlike the JSON API's."""
    return f'"{base64.b64decode(resource["md5Hash"]).hex()}"'


def _updated(resource: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(resource["updated"].replace("Z", "+00:00"))


def _version_headers(resource: dict[str, Any]) -> dict[str, str]:
    return {
        "ETag": _etag(resource),
        "x-goog-generation": resource["generation"],
        "x-goog-metageneration": resource["metageneration"],
        "x-goog-hash": f"crc32c={resource['crc32c']},md5={resource['md5Hash']}",
    }


def _object_headers(resource: dict[str, Any]) -> dict[str, str]:
    stored = {
        header: resource[field]
        for header, field in _STORED_HEADERS.items()
        if resource.get(field) is not None
    }
    custom = {f"x-goog-meta-{key}": str(v) for key, v in (resource.get("metadata") or {}).items()}
    return {
        **stored,
        **custom,
        **_version_headers(resource),
        "Last-Modified": format_datetime(_updated(resource), usegmt=True),
        "Accept-Ranges": "bytes",
    }


def _decompressed_headers(resource: dict[str, Any]) -> dict[str, str]:
    """Without the length and the etag, which are those of other bytes."""
    hidden = ("ETag", "Content-Encoding", "x-goog-hash", "Accept-Ranges")
    kept = {k: v for k, v in _object_headers(resource).items() if k not in hidden}
    return {**kept, "Transfer-Encoding": "chunked"}


def _check_conditions(headers: Any, resource: dict[str, Any]) -> None:
    """Refuse a read whose preconditions fail, in the order that HTTP prescribes (RFC 9110)."""
    etag, updated = _etag(resource), _updated(resource).replace(microsecond=0)
    if wanted := headers.get("If-Match"):
        if not _names(wanted, etag):
            raise _HttpError(412, "PreconditionFailed")
    elif (since := headers.get("If-Unmodified-Since")) and updated > parsedate_to_datetime(since):
        raise _HttpError(412, "PreconditionFailed")
    if unwanted := headers.get("If-None-Match"):
        if _names(unwanted, etag):
            raise _HttpError(304, "NotModified", {"ETag": etag})
    elif (since := headers.get("If-Modified-Since")) and updated <= parsedate_to_datetime(since):
        raise _HttpError(304, "NotModified", {"ETag": etag})


def _names(condition: str, etag: str) -> bool:
    listed = {entry.strip().strip('"') for entry in condition.split(",")}
    return "*" in listed or etag.strip('"') in listed


def _byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The half-open range requested; None for the whole object, also if the header is invalid."""
    found = re.fullmatch(r"\s*bytes=(\d*)-(\d*)\s*", header or "")
    if not found or not (found[1] or found[2]):
        return None
    if not found[1]:
        start, end = max(size - int(found[2]), 0), size
    else:
        start, end = int(found[1]), min(int(found[2]) + 1, size) if found[2] else size
    if start >= size:
        raise _HttpError(416, "InvalidRange", {"Content-Range": f"bytes */{size}"})
    return (start, end) if start < end else None


if __name__ == "__main__":
    # The emulator logs every answer as a warning and every refused precondition as an error.
    logging.disable(logging.ERROR)
    serve(_GcsServer())
