"""Connections to `gs://` and `s3://`, one per bucket, and the settings of this process for them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any

import obstore.store

from pipelines.storage._aws_credentials import find_aws_keys
from pipelines.storage._content_encoding import AS_STORED
from pipelines.storage.addresses import split_uri
from pipelines.storage.request_rate import RequestRate
from pipelines.storage.s3_endpoint import S3Endpoint, s3_endpoint

TIMEOUT_S = 30.0
"""Seconds that one request may take before it counts as failed. The part of a body that arrived
by then is not lost: only the rest is requested again."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 15.0
"""Bounds of the wait between two tries of a request."""

_MOST_RETRIES = 100  # the deadline ends them earlier


@dataclass(frozen=True)
class StoreSettings:
    """Which object stores a process uses, how long it retries, and how fast it may read.

    Attributes:
        deadline_s: seconds during which a request that fails for a temporary reason is repeated.
        gcs_reads_per_second: reads that a process sends to one bucket on `gs://`, at first; the
            rate doubles every 20 minutes.
        s3_endpoint: address of the store behind `s3://`; "": the environment decides.
        s3_region: its region; "": the environment decides.
        s3_requester_pays: whether the caller pays for requests to buckets whose owner does not.
        gcs_user_project: the project that pays for requests to such buckets on `gs://`; "": none.
    """

    deadline_s: float = 60.0
    gcs_reads_per_second: float = 5000.0
    s3_endpoint: str = ""
    s3_region: str = ""
    s3_requester_pays: bool = False
    gcs_user_project: str = ""


_settings = StoreSettings()


def configure(settings: StoreSettings) -> None:
    """Set the settings of this process."""
    global _settings
    if settings != _settings:
        _settings = settings
        forget_stores()


def deadline_s() -> float:
    """`StoreSettings.deadline_s` of this process."""
    return _settings.deadline_s


def connect(uri: str, as_stored: bool = False) -> tuple[Any, str]:
    """The obstore store of an address and the key in it.

    Args:
        as_stored: whether Google Cloud Storage shall not decompress objects. Not for listings: it
            might compress those.

    Raises:
        ValueError: the address names no bucket.
        StoreDown: there are no credentials for it.
    """
    scheme, bucket, key = split_uri(uri)
    return _bucket(scheme, bucket, as_stored), key


def wait_for_read(uri: str) -> None:
    """Return when the bucket's request rate allows the next read."""
    scheme, bucket, _ = split_uri(uri)
    if scheme == "gs":
        _read_rate(bucket).wait_turn()


def delta_options(uri: str) -> dict[str, str]:
    """Options with which delta-rs uses the same store as this room; none for a local path. It
    cannot name the project that pays on `gs://`.

    Raises:
        StoreDown: there are no credentials for it.
    """
    scheme = split_uri(uri)[0]
    retries = {"max_retries": str(_MOST_RETRIES), "retry_timeout": f"{_settings.deadline_s}s"}
    if scheme == "s3":
        s3 = {**current_s3().for_delta(), **find_aws_keys()}
        return {"aws_conditional_put": "etag", **s3, **retries}
    if scheme == "gs" and "STORAGE_EMULATOR_HOST" in os.environ:
        return {"google_service_account_key": _emulator_key(), "allow_http": "true", **retries}
    return retries if scheme else {}


def current_s3() -> S3Endpoint:
    """The store behind `s3://` in this process."""
    pays = _settings.s3_requester_pays
    return s3_endpoint(_settings.s3_endpoint, _settings.s3_region, pays)


def current_user_project() -> str:
    """`StoreSettings.gcs_user_project` of this process."""
    return _settings.gcs_user_project


def forget_stores() -> None:
    """Drop the cached connections, because the environment that they were made from changed."""
    _bucket.cache_clear()
    _read_rate.cache_clear()


@lru_cache(maxsize=64)
def _read_rate(bucket: str) -> RequestRate:
    return RequestRate(_settings.gcs_reads_per_second)


@lru_cache(maxsize=64)
def _bucket(scheme: str, bucket: str, as_stored: bool) -> Any:
    if not bucket:
        raise ValueError("the address names no bucket")
    options = _client_options(scheme, AS_STORED if as_stored else {})
    patience: Any = {"retry_config": _retries(), "client_options": options}
    if scheme == "s3":
        config: Any = {**current_s3().for_obstore(), **find_aws_keys()}
        return obstore.store.S3Store(bucket, config=config, **patience)
    if "STORAGE_EMULATOR_HOST" in os.environ:
        key = {"service_account_key": _emulator_key()}
        return obstore.store.GCSStore(bucket, config=key, **patience)
    return obstore.store.GCSStore(bucket, **patience)


def _retries() -> dict[str, Any]:
    waits = {
        "init_backoff": timedelta(seconds=FIRST_WAIT_S),
        "max_backoff": timedelta(seconds=LONGEST_WAIT_S),
        "base": 2,
    }
    deadline = timedelta(seconds=_settings.deadline_s)
    return {"max_retries": _MOST_RETRIES, "retry_timeout": deadline, "backoff": waits}


def _client_options(scheme: str, headers: dict[str, str]) -> dict[str, Any]:
    emulated = scheme == "gs" and "STORAGE_EMULATOR_HOST" in os.environ
    plain = emulated or (scheme == "s3" and current_s3().allow_http)
    allow = {"allow_http": "true"} if plain else {}
    if scheme == "gs" and _settings.gcs_user_project:
        headers = {**headers, "x-goog-user-project": _settings.gcs_user_project}
    return {"timeout": timedelta(seconds=TIMEOUT_S), "default_headers": headers, **allow}


def _emulator_key() -> str:
    """A service account key that sends unsigned requests to STORAGE_EMULATOR_HOST."""
    host = os.environ["STORAGE_EMULATOR_HOST"]
    url = host if "://" in host else f"http://{host}"
    blank = {"client_email": "", "private_key": "", "private_key_id": ""}
    return json.dumps({"gcs_base_url": url, "disable_oauth": True, **blank})
