"""What a power cut may leave in the staging folder of a local OUTPUT: files that have their names,
and not all of their bytes. A plan is on the disk before its run begins. Units are not waited for:
those that are not whole are scored again."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from pipelines.runs.run_plan import UNITS_FOLDER
from pipelines.storage import store
from pipelines.tables.file_checksums import has_wrong_checksum

_END_OF_PARQUET = b"PAR1"
_log = logging.getLogger(__name__)


def drop_torn_units(staging: str) -> int:
    """Forget the staged units whose files are not whole, so that they are scored again; returns
    their number. Object stores have whole objects only.

    Args:
        staging: address of a run's staging folder.
    """
    folder = Path(store.join_uri(staging, UNITS_FOLDER))
    records = [] if store.is_remote(staging) else sorted(folder.glob("*.json"))
    torn = [record for record in records if not _is_whole(record)]
    for record in torn:
        _log.warning("%s is not whole, as after a power cut: its unit is scored again", record)
        record.unlink(missing_ok=True)
    return len(torn)


def _is_whole(record: Path) -> bool:
    try:
        unit = json.loads(record.read_bytes())
        files = [unit[name] for name in ("scores", "quarantine") if unit[name]]
        return all(_has_all_bytes(Path(file["uri"]), file["size_bytes"]) for file in files)
    except (ValueError, TypeError, KeyError):
        return False


def _has_all_bytes(path: Path, size_bytes: int) -> bool:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return False
    return (
        len(data) == size_bytes and data.endswith(_END_OF_PARQUET) and not has_wrong_checksum(data)
    )
