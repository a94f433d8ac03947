"""STAC ItemCollections, written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_items(folder: Path, **assets: dict[str, Any]) -> Path:
    """Write an ItemCollection with an item for each scene, whose asset is called `sr`."""
    features = [
        {
            "type": "Feature",
            "id": f"item-{name}",
            "properties": {"datetime": "2026-07-01T14:03:00Z"},
            "assets": {"sr": asset},
        }
        for name, asset in assets.items()
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def bands(*names: str, **more: float) -> list[dict[str, Any]]:
    """Bands as STAC 1.1 describes them."""
    numbers = {f"raster:{name}": value for name, value in more.items()}
    return [{"eo:common_name": name, **numbers} for name in names]
