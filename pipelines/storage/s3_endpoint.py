"""The store behind `s3://`: Amazon's, or another one that speaks S3, such as MinIO.

It is set once and passed to all three libraries that send requests (obstore, delta-rs, boto3), so
that they use the same store.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

_ANY_REGION = "us-east-1"  # other stores ignore it, but without one delta-rs would look for it


@dataclass(frozen=True)
class S3Endpoint:
    """A store that speaks S3; the URL of an object is URL/BUCKET/KEY.

    Attributes:
        url: its address, "" for Amazon's own.
        region: "" if it is not set anywhere.
        requester_pays: whether the caller pays for requests.
    """

    url: str
    region: str
    requester_pays: bool = False

    @property
    def allow_http(self) -> bool:
        """Whether the connection is without TLS."""
        return self.url.startswith("http://")

    def for_obstore(self) -> dict[str, Any]:
        """Its configuration for an `S3Store`."""
        pays = {"request_payer": True} if self.requester_pays else {}
        return {**_given(endpoint=self.url, region=self.region), **pays}

    def for_delta(self) -> dict[str, str]:
        """Its storage options for delta-rs."""
        allow = "true" if self.allow_http else ""
        pays = "true" if self.requester_pays else ""
        where = _given(aws_endpoint_url=self.url, aws_region=self.region)
        return {**where, **_given(allow_http=allow, aws_request_payer=pays)}

    def for_boto3(self) -> dict[str, str]:
        """Its arguments for a client."""
        return _given(endpoint_url=self.url, region_name=self.region)


def s3_endpoint(url: str, region: str, requester_pays: bool = False) -> S3Endpoint:
    """The store of these flags, or else of the usual environment variables."""
    found = url or _first_of("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    place = region or _first_of("AWS_REGION", "AWS_DEFAULT_REGION")
    return S3Endpoint(found, place or (_ANY_REGION if found else ""), requester_pays)


def _first_of(*variables: str) -> str:
    return next((os.environ[name] for name in variables if os.environ.get(name)), "")


def _given(**values: str) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}
