"""The arrays of an HDF5 file from anywhere: plain numbers in the file itself, or an error.

HDF5 can point to other files (external links, external storage, virtual datasets), load programs
to decompress (filters), and claim arrays that are not there.
"""

from __future__ import annotations

from typing import Any

import h5py

_DEEPEST_GROUP, _MOST_NAMES = 8, 10_000


def find_arrays(stored: h5py.File, size_bytes: int) -> dict[str, h5py.Dataset]:
    """Every array by its path; none is read yet.

    Args:
        size_bytes: size of the file.

    Raises:
        ValueError: something in it is not an array of numbers in this file.
        OSError, RuntimeError, KeyError: it is damaged.
    """
    found: dict[str, h5py.Dataset] = {}
    _collect(stored, "", found, [0])
    claimed = sum(int(dataset.nbytes) for dataset in found.values())
    if claimed > size_bytes:
        raise ValueError(f"the arrays claim {claimed:,} of {size_bytes:,} bytes")
    return found


def _collect(group: Any, above: str, found: dict[str, h5py.Dataset], seen: list[int]) -> None:
    if above.count("/") > _DEEPEST_GROUP:
        raise ValueError(f"groups are nested more than {_DEEPEST_GROUP} deep")
    for name in group:
        path = f"{above}{name}"
        seen[0] += 1
        if seen[0] > _MOST_NAMES:
            raise ValueError(f"more than {_MOST_NAMES:,} names")
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{path!r} is a link to another place")
        node = group[name]
        if isinstance(node, h5py.Group):
            _collect(node, f"{path}/", found, seen)
        else:
            _check_dataset(path, node)
            found[path] = node


def _check_dataset(path: str, node: Any) -> None:
    if not isinstance(node, h5py.Dataset) or node.dtype.kind not in "fiu" or node.shape is None:
        raise ValueError(f"{path!r} is not an array of numbers")
    if node.external or node.is_virtual:
        raise ValueError(f"{path!r} is in another file")
    if node.id.get_create_plist().get_nfilters():
        raise ValueError(f"{path!r} is compressed or filtered")
