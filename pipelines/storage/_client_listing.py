"""Listings by the stores' own clients, for names that obstore cannot list.

One object whose name has a control character, an empty part or `..` makes obstore's listing of its
prefix fail (docs/decisions/obstore.md). The clients accept any name. They use twenty times the CPU
time per request, which does not matter with a thousand names per request. They are extras of this
project (`gcp`, `aws`), imported only when they are needed.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from pipelines.errors import StorageError
from pipelines.storage._connections import current_s3, current_user_project
from pipelines.storage._objects import clean_etag
from pipelines.storage.storage_errors import translate_errors


def list_by_client(scheme: str, bucket: str, prefix: str, after: str) -> Iterator[dict[str, Any]]:
    """Rows of `LISTING` for the objects whose names begin with `prefix` and come after `after`.

    Raises:
        StorageError: the client is not installed, or cannot list the bucket.
    """
    root = f"{scheme}://{bucket}/"
    listing = _list_gcs if scheme == "gs" else _list_s3
    try:
        with translate_errors("list", root + prefix, _client_errors(scheme)):
            for row in listing(bucket, prefix, after):
                if not row["uri"].endswith("/"):  # what consoles make to show an empty folder
                    yield {**row, "uri": root + row["uri"]}
    except ImportError as error:
        extra = "gcp" if scheme == "gs" else "aws"
        raise StorageError(
            f"cannot list {root + prefix!r}: a name in it needs the store's own client; "
            f"install forest-chips[{extra}]"
        ) from error


def _client_errors(scheme: str) -> tuple[type[Exception], ...]:
    if scheme == "s3":
        from botocore.exceptions import BotoCoreError, ClientError

        return (BotoCoreError, ClientError)
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError
    from requests import RequestException

    return (GoogleAPIError, GoogleAuthError, RequestException)


def _list_gcs(bucket: str, prefix: str, after: str) -> Iterator[dict[str, Any]]:
    from google.cloud import storage

    client = storage.Client(project=None)
    payer = current_user_project() or None
    fields = "items(name,size,updated,md5Hash,etag),nextPageToken"
    listed = client.bucket(bucket, user_project=payer)
    for blob in client.list_blobs(listed, prefix=prefix, start_offset=after, fields=fields):
        if blob.name != after:
            yield {
                "uri": blob.name,
                # As obstore gets it from the XML API: a chip has the same one in every listing.
                "etag": base64.b64decode(blob.md5_hash).hex() if blob.md5_hash else blob.etag,
                "size_bytes": blob.size,
                "modified_at": blob.updated,
            }


def _list_s3(bucket: str, prefix: str, after: str) -> Iterator[dict[str, Any]]:
    import boto3
    from botocore.config import Config

    retries = Config(retries={"mode": "standard", "max_attempts": 10})
    client = boto3.client("s3", config=retries, **current_s3().for_boto3())
    payer = {"RequestPayer": "requester"} if current_s3().requester_pays else {}
    pages = client.get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=bucket, Prefix=prefix, StartAfter=after, **payer):
        for item in page.get("Contents", ()):
            yield {
                "uri": item["Key"],
                "etag": clean_etag(item["ETag"]),
                "size_bytes": item["Size"],
                "modified_at": item["LastModified"],
            }
