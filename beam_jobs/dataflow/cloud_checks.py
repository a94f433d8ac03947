"""Checks before a Dataflow job is launched that need an answer from Google, with the launcher's own
credentials. If Google refuses or does not answer, the check is skipped."""

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
"""Permissions that a run needs on its output and its temporary folder: the role `Storage Object
User`."""

TestPermissions = Callable[[str], Sequence[str]]
"""Returns those of NEEDED that the caller has on a bucket."""

Fetch = Callable[[str], dict[str, Any]]
"""Returns the answer of an API at an address."""

_TIMEOUT_S = 20.0
_ZONES = (
    "https://compute.googleapis.com/compute/v1/projects/{project}/aggregated/acceleratorTypes"
    "?filter={filter}&returnPartialSuccess=true"
)
_log = logging.getLogger(__name__)


def check_permissions(
    project: str, places: Mapping[str, str], test: TestPermissions | None = None
) -> None:
    """Refuse a bucket on which the launcher lacks permissions that a run needs.

    Args:
        project: the project that pays for the requests.
        places: flag to its address; addresses that are not on gs:// are skipped.

    Raises:
        UsageError: names the bucket, the missing permissions, and the role that has them.
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
    """Refuse a region, or a zone, in which Compute Engine lists no such GPU. A listed one may still
    be out of stock.

    Args:
        zone: of the workers; "" for any zone of the region.

    Raises:
        UsageError: names the zones or regions that have it.
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
    """The zones of an aggregated list that have the GPU."""
    items = answer.get("items", {})
    return sorted(
        place.removeprefix("zones/")
        for place, found in items.items()
        if found.get("acceleratorTypes")
    )


def _region(zone: str) -> str:
    return zone.rpartition("-")[0]


def _ask(question: Callable[[], Any], about: str) -> Any:
    """The answer, or None if there is none: an account that may not ask may still be allowed to
    run the job."""
    try:
        return question()
    except Exception as error:
        _log.info("not checked before launch: %s (%s)", about, error)
        return None


def _test_permissions(project: str, bucket: str) -> Sequence[str]:
    """The permissions of the launcher; none if there is no such bucket."""
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
