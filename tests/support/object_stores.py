"""Fixtures for object stores: real servers on loopback, which speak HTTP for `gs://` and `s3://`.

Each is a child process (tests/support/child_server.py says why), started once per session.
"""

from __future__ import annotations

import json
import os
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from urllib.request import Request, urlopen

import pytest

from tests.support.child_server import ChildServer


class ObjectStoreServer(ChildServer, ABC):
    """A server; ``env`` is the environment in which client processes reach it."""

    scheme: str

    @property
    @abstractmethod
    def env(self) -> dict[str, str]:
        """The environment in which the clients reach it."""

    @abstractmethod
    def create_bucket(self, name: str) -> str:
        """Create an empty bucket; returns its URI."""

    def fresh_uri(self) -> str:
        """The URI of a new bucket with a random name, so that tests need no clean-up."""
        return self.create_bucket(f"test-{uuid.uuid4().hex[:12]}")


class GcsServer(ObjectStoreServer):
    """``gs://`` with the JSON and the XML API on one endpoint."""

    scheme, module = "gs", "tests.support.gcs_server"

    @property
    def env(self) -> dict[str, str]:
        # Deliberately not GOOGLE_SERVICE_ACCOUNT_KEY: obstore would read it by itself, and a
        # test would pass although the code under test ignores STORAGE_EMULATOR_HOST.
        return {
            "STORAGE_EMULATOR_HOST": self.url,
            "GOOGLE_CLOUD_PROJECT": "test-project",
            "NO_GCE_CHECK": "true",
        }

    @property
    def service_account_key(self) -> str:
        """The key JSON that sends obstore and delta-rs here, without credentials."""
        return json.dumps(
            {
                "gcs_base_url": self.url,
                "disable_oauth": True,
                "client_email": "",
                "private_key": "",
                "private_key_id": "",
            }
        )

    def create_bucket(self, name: str) -> str:
        request = Request(
            f"{self.url}/storage/v1/b?project=test-project",
            data=json.dumps({"name": name}).encode(),
            headers={"Content-Type": "application/json"},
        )
        urlopen(request).close()
        return f"gs://{name}"


class S3Server(ObjectStoreServer):
    """``s3://``, by moto."""

    scheme, module = "s3", "tests.support.s3_server"

    @property
    def env(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
            "AWS_CONDITIONAL_PUT": "etag",
            # The user's own profiles must neither be used nor needed.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def create_bucket(self, name: str) -> str:
        urlopen(Request(f"{self.url}/{name}", method="PUT")).close()
        return f"s3://{name}"


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[GcsServer]:
    with GcsServer() as server:
        yield server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


def _point_at(server: ObjectStoreServer, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    return server.fresh_uri()


@pytest.fixture
def gs_uri(gcs_server: GcsServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """A fresh ``gs://`` bucket, with the environment pointing at its server."""
    return _point_at(gcs_server, monkeypatch)


@pytest.fixture
def s3_uri(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A fresh ``s3://`` bucket, with the environment pointing at its server."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return _point_at(s3_server, monkeypatch)


@pytest.fixture(params=["gs", "s3"])
def object_store_uri(request: pytest.FixtureRequest) -> str:
    """Runs the test once on each of the two object stores."""
    uri: str = request.getfixturevalue(f"{request.param}_uri")
    return uri
