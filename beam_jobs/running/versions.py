"""The versions of the packages that decide a run's rows, for its record."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from pipelines.imaging.decoding import READING_NAME, READING_VERSION
from pipelines.tables.parquet_files import FILES_NAME, FILES_VERSION

_RECORDED_PACKAGES = (
    "forest-chips",
    "apache-beam",
    "tensorflow",
    "keras",
    "numpy",
    "pyarrow",
    "deltalake",
    "imagecodecs",
    "simplejpeg",
    "rasterio",
)


def installed_versions() -> dict[str, str]:
    """Package to version, of the packages that are installed here, and which files are read and
    written."""
    found = {READING_NAME: str(READING_VERSION), FILES_NAME: str(FILES_VERSION)}
    for package in _RECORDED_PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
