"""What only Google can tell before a Dataflow job is launched, asked with the launcher's own
credentials. An answer that it may not have, or that does not come, holds nothing up."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

from beam_jobs.options.accelerators import GpuType
from pipelines.errors import UsageError

NEEDED = (
    "storage.objects.create",
    "storage.objects.delete",
    "storage.objects.get",
    "storage.objects.list",
)
"""What a run does below its output and in its temporary folder: role `Storage Object User`."""

TestPermissions = Callable[[str], Sequence[str]]
"""Bucket to those of NEEDED that the caller has."""

Fetch = Callable[[str], dict[str, Any]]
"""Address of an API to its answer."""

_TIMEOUT_S = 20.0
_ZONES = (
    "https://compute.googleapis.com/compute/v1/projects/{project}/aggregated/acceleratorTypes"
    "?filter={filter}&returnPartialSuccess=true"
)
_log = logging.getLogger(__name__)


def check_permissions(
    project: str, places: Mapping[str, str], test: TestPermissions | None = None
) -> None:
    """Refuse a bucket where the launcher may not do what a run does.

    Args:
        project: on whose account is asked.
        places: flag to the gs:// address that it names; others are passed over.

    Raises:
        UsageError: names the bucket, what is missing, and the role that gives it.
    """
    test = test or partial(_test_permissions, project)
    found: dict[str, Sequence[str] | None] = {}
    for flag, uri in places.items():
        if not uri.startswith("gs://"):
            continue
        bucket = uri.removeprefix("gs://").partition("/")[0]
        if bucket not in found:
            found[bucket] = _ask(partial(test, bucket), f"permissions on {bucket}")
        granted = found[bucket]
        missing = [] if granted is None else [name for name in NEEDED if name not in granted]
        if missing:
            raise UsageError(
                f"{flag} {uri!r}: the launcher has no {', '.join(missing)} on bucket {bucket}, or "
                "there is no such bucket; grant it the role storage.objectUser there"
            )


def check_region(
    project: str, region: str, zone: str, gpu: GpuType, fetch: Fetch | None = None
) -> None:
    """Refuse a region, or a zone, in which Compute Engine lists no such GPU. It may be listed and
    out of stock all the same.

    Args:
        zone: of the workers; "" for any of the region.

    Raises:
        UsageError: names the places where there are some.
    """
    name = quote(f'name="{gpu.name}"')
    url = _ZONES.format(project=quote(project), filter=name)
    answer = _ask(lambda: (fetch or _fetch)(url), f"zones with {gpu.name}")
    zones = _zones(answer or {})
    wanted = [found for found in zones if found == zone or (not zone and _region(found) == region)]
    if zones and not wanted:
        near = [found for found in zones if _region(found) == region]
        places = near or sorted({_region(found) for found in zones})
        raise UsageError(
            f"no {gpu.name} in {zone or region}: Compute Engine lists it in {', '.join(places)}"
        )


def _zones(answer: dict[str, Any]) -> list[str]:
    """Zones of an aggregated list that hold something."""
    items = answer.get("items", {})
    return sorted(
        place.removeprefix("zones/")
        for place, found in items.items()
        if found.get("acceleratorTypes")
    )


def _region(zone: str) -> str:
    return zone.rpartition("-")[0]


def _ask(question: Callable[[], Any], about: str) -> Any:
    """The answer, None where there is none: whoever may not ask may well be allowed to run."""
    try:
        return question()
    except Exception as error:
        _log.info("not known before launch: %s (%s)", about, error)
        return None


def _test_permissions(project: str, bucket: str) -> Sequence[str]:
    """None of them where there is no such bucket."""
    from google.api_core.exceptions import NotFound
    from google.cloud import storage

    asked = storage.Client(project=project).bucket(bucket)
    try:
        return list(asked.test_iam_permissions(list(NEEDED), timeout=_TIMEOUT_S, retry=None))
    except NotFound:
        if asked.exists(timeout=_TIMEOUT_S, retry=None):  # an emulator that has no such question
            raise
        return []


def _fetch(url: str) -> dict[str, Any]:
    import google.auth
    from google.auth.transport.requests import AuthorizedSession

    credentials, _ = google.auth.default(["https://www.googleapis.com/auth/compute.readonly"])
    response = AuthorizedSession(credentials).get(url, timeout=_TIMEOUT_S)
    response.raise_for_status()
    return dict(response.json())
