"""Every command on what an earlier release left in an OUTPUT (tests/releases)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from beam_jobs.query import ask
from tests.support.object_stores import S3Server
from tests.support.releases import Release, local_release, remote_release

PUBLISHED = {"gone": 0, "one": 32, "two": 4, "relabelled": 36, "four": 1, "five": 1}
PUBLISHED |= {"replayed": 1, "six": 12}
"""Runs to rows of chip_scores."""


@pytest.fixture(params=[local_release, remote_release])
def release(
    request: pytest.FixtureRequest, tmp_path: Path, s3_uri: str, s3_server: S3Server
) -> Release:
    put: Callable[[Path, S3Server], Release] = request.param
    return put(tmp_path / "release", s3_server)


def rows(release: Release, sql: str) -> list[tuple]:
    return [tuple(row.values()) for row in ask(release.output, sql).to_pylist()]


def test_every_published_row_of_the_release_is_there(release: Release) -> None:
    counted = dict(rows(release, "SELECT run_id, count(*) FROM chip_scores GROUP BY 1"))
    assert counted == {run: n for run, n in PUBLISHED.items() if n}
    status = dict(rows(release, "SELECT run_id, status FROM runs"))
    others = {"three": "withdrawn", "bad": "failed", "died": "failed", "held": "held"}
    assert status == dict.fromkeys(PUBLISHED, "published") | others
