"""Headers of scenes, stored below OUTPUT: an unchanged scene's header is not read again."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pipelines.errors import ChipRejected, StorageError
from pipelines.scenes.header_bytes import HeaderBytes
from pipelines.scenes.scene import Scene
from pipelines.scenes.scene_header import parse_scene
from pipelines.storage import store
from pipelines.version_cache import DIGEST_BYTES, VersionCache, unpack
from schemas.tables import QuarantineReason as Reason

FOLDER = "_scene_headers"

_FORMAT = 1
"""Increase it when a header is stored differently."""

_SCENES = 16  # a large header takes some megabytes


class HeaderCache:
    """The headers below one OUTPUT; several threads may ask at once.

    What is stored is the bytes of a header, not what they mean.

    Args:
        output: address of the tables.
        store_new: whether to store the headers that were read; False writes nothing.
    """

    def __init__(self, output: str, store_new: bool = True) -> None:
        without = "scenes are read without their stored headers"
        self._stored = VersionCache(output, FOLDER, "header", _FORMAT, store_new, without)

    def read(self, listed: dict[str, Any]) -> tuple[Scene, str | None]:
        """A scene, and where its header is stored; None if it is not.

        Args:
            listed: its row of a listing, with the column chip_uri.

        Raises:
            ChipRejected: it cannot be read as a scene, and why.
            StorageError: it cannot be read at all.
        """
        uri, etag = listed["chip_uri"], listed["etag"]
        if (stored := self._stored.load(listed)) is not None:
            return parse_scene(HeaderBytes.unpack(uri, etag, stored)), self._stored.uri_of(listed)
        data = HeaderBytes(uri, _size_of(listed), etag)
        scene = parse_scene(data)
        if self._stored.can_save(listed) and self._stored.save(listed, data.pack()):
            return scene, self._stored.uri_of(listed)
        return scene, None


def _size_of(listed: dict[str, Any]) -> int:
    """Size of a scene; a manifest need not say it."""
    found = listed if listed["size_bytes"] is not None else store.head_object(listed["chip_uri"])
    if found is None:
        raise StorageError(f"{listed['chip_uri']!r} does not exist")
    return int(found["size_bytes"])


@lru_cache(maxsize=_SCENES)
def open_scene(uri: str, etag: str | None, header_uri: str | None) -> Scene:
    """A scene on a worker, by its stored header if there is one.

    Args:
        etag: the version that was listed; None for any.
        header_uri: from `HeaderCache.read`.

    Raises:
        ChipRejected: it cannot be read as a scene, and why; or unreadable.
        StoreDown: no object can be read.
    """
    if header_uri and (scene := _load(uri, etag, header_uri)):
        return scene
    head = store.head_object(uri)
    if head is None:
        raise ChipRejected(Reason.UNREADABLE, f"{uri!r} does not exist")
    return parse_scene(HeaderBytes(uri, head["size_bytes"], etag))


def _load(uri: str, etag: str | None, header_uri: str) -> Scene | None:
    try:
        stored = store.read_bytes(header_uri)
    except StorageError:
        return None
    size_bytes = HeaderBytes.size_of(stored[DIGEST_BYTES:])
    listed = {"chip_uri": uri, "etag": etag, "size_bytes": size_bytes}
    data = unpack(stored, listed, _FORMAT)
    return None if data is None else parse_scene(HeaderBytes.unpack(uri, etag, data))
