"""Windows of scenes instead of chips: large GeoTIFFs are listed, and each window is a row.

scenes   -> list_scenes: a folder, a glob, a manifest or a STAC ItemCollection
headers  -> read in threads, or taken from below OUTPUT
windows  -> one row each; a scene that cannot be read has one row, which is quarantined
chosen   -> footprints and boxes, only for the windows that are left to score
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import databases
from pipelines.errors import UsageError, as_usage_error
from pipelines.imaging.footprint import Place, footprints_of_windows
from pipelines.planning.archive import Archive, list_chips
from pipelines.planning.manifests import MANIFEST_ENDINGS, look_up_versions, read_manifest
from pipelines.planning.selection import STEM, Selection
from pipelines.planning.sidecar import Sidecar, check_named
from pipelines.planning.stac_items import ENDINGS, Band, read_items
from pipelines.scenes.bands import SceneBands
from pipelines.scenes.header_cache import HeaderCache
from pipelines.scenes.lattice import Cut
from pipelines.scenes.scene import Scene
from pipelines.scenes.scene_windows import list_windows
from pipelines.tables.geometry import place_columns, without_folds
from pipelines.wording import count_of
from schemas.artifact import Preprocessing
from schemas.render import file_schema
from schemas.scene_columns import WINDOW_NAMES
from schemas.tables import CHIP_MANIFEST
from schemas.tables import QuarantineReason as Reason

SCENES = pa.schema(
    [
        file_schema(CHIP_MANIFEST).field(name)
        for name in (
            *("chip_uri", "etag", "size_bytes", "modified_at"),
            *("scene_id", "observed_at", "scene_bands"),
        )
    ]
)
"""What is known about scenes; `chip_uri` is the scene's address."""

_OF_MODEL = (Reason.WRONG_BANDS, Reason.MEDIA_TYPE)


@dataclass(frozen=True)
class CutScenes:
    """The windows of an archive's scenes.

    Attributes:
        scenes: number of scenes.
        windows: rows for `select_chips`.
        places: of the scenes, by address; those without a position are missing.
    """

    scenes: int
    windows: pa.Table
    places: Mapping[str, Place]


def list_scenes(uri: str, asset: str, preprocessing: Preprocessing) -> Archive:
    """The scenes of an archive, in the schema SCENES.

    Args:
        uri: absolute address of a folder or prefix, a glob, a manifest (.parquet, .csv), or a STAC
            ItemCollection (.json).
        asset: the asset of each item that is the GeoTIFF; "" if `uri` is no ItemCollection.
        preprocessing: the model's.

    Raises:
        UsageError: nothing there, no GeoTIFF among it, or an invalid manifest or ItemCollection.
    """
    if uri.lower().endswith(ENDINGS):
        return Archive(_of_items(uri, asset, preprocessing))
    if uri.lower().endswith(MANIFEST_ENDINGS):
        return Archive(_as_scenes(_without_tars(read_manifest(uri), uri)))
    found = list_chips(uri, "tif", lambda shard: iter(()))
    if not found.chips.num_rows:
        raise UsageError(f"--chips {uri!r} holds no GeoTIFF, and --cut_px cuts chips from GeoTIFFs")
    return Archive(_as_scenes(found.chips), found.ignored)


def _of_items(uri: str, asset: str, preprocessing: Preprocessing) -> pa.Table:
    items = read_items(uri, asset)
    with as_usage_error(f"--chips {uri!r}, --asset {asset}", (UsageError,)):
        bands = [_bands_of(item.bands, preprocessing) for item in items]
    columns = [
        [item.uri for item in items],
        [item.scene_id for item in items],
        [item.observed_at for item in items],
        bands,
    ]
    named = ("chip_uri", "scene_id", "observed_at", "scene_bands")
    schema = pa.schema([SCENES.field(name) for name in named])
    return _as_scenes(look_up_versions(pa.table(columns, schema=schema)))


@cache
def _bands_of(bands: Sequence[Band], preprocessing: Preprocessing) -> str | None:
    """How the model's bands are made from those that an item describes, as JSON; None if it
    describes none: the file has the model's bands in their order then.

    Raises:
        UsageError: a band is missing, or named twice.
    """
    if not bands:
        return None
    names, wanted = [band.name for band in bands], preprocessing.of_scenes
    if not any(names) and len(names) == len(wanted):
        names = [*wanted]
    if preprocessing.stored_bands:
        names = [_wanted_name(band, wanted) for band in bands]
    for name in wanted:
        if names.count(name) != 1:
            how = "two bands are" if name in names else "no band is"
            known = ", ".join(each or "without a name" for each in names)
            raise UsageError(f"{how} named {name}: the bands are {known}")
    used = [bands[names.index(name)] for name in wanted]
    scales, offsets = tuple(band.scale for band in used), tuple(band.offset for band in used)
    own_names = wanted if preprocessing.stored_bands else ()
    chosen = SceneBands(tuple(map(names.index, wanted)), scales, offsets, own_names)
    return (replace(chosen, scales=(), offsets=()) if chosen.are_plain else chosen).to_json()


def _wanted_name(band: Band, wanted: Sequence[str]) -> str:
    """The wanted name that a band has, in small or capital letters, or as the product's own name;
    its name if there is none."""
    known = (band.name, band.code)
    return next((name for name in wanted if name.casefold() in known), band.name)


def _without_tars(scenes: pa.Table, uri: str) -> pa.Table:
    if "shard_uri" in scenes.column_names and scenes["shard_uri"].null_count < scenes.num_rows:
        raise UsageError(f"--chips {uri!r}: with --cut_px scenes are files, not members of tars")
    return scenes


def _as_scenes(found: pa.Table) -> pa.Table:
    """Columns of SCENES; a scene without an id has the stem of its file name."""
    rows = found.num_rows
    columns = [
        found[field.name] if field.name in found.column_names else pa.nulls(rows, field.type)
        for field in SCENES
    ]
    given = pa.table(columns, schema=SCENES)
    connection = databases.connect()
    connection.register("given", given)
    stems = connection.sql(f"SELECT {STEM.format(uri='chip_uri')} AS stem FROM given")
    return _coalesced(given, "scene_id", stems.to_arrow_table()["stem"])


def _coalesced(table: pa.Table, name: str, others: pa.ChunkedArray) -> pa.Table:
    at = table.schema.get_field_index(name)
    return table.set_column(at, table.field(name), pc.coalesce(table[name], others))


def with_sidecar(scenes: pa.Table, sidecar: Sidecar) -> pa.Table:
    """Scenes with the times and ids of a sidecar, whose chip_uri or chip_id names a scene.

    Boxes and footprints in it are not used: those of windows are computed.

    Raises:
        UsageError: it names none of the scenes.
    """
    connection = databases.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("scenes", scenes)
    named = f"SELECT *, {STEM.format(uri='chip_uri')} AS chip_id FROM scenes"
    check_named(connection, sidecar, named)
    given = [f"coalesce(sidecar.{n}, scene.{n}) AS {n}" for n in ("scene_id", "observed_at")]
    joined = connection.sql(
        f"SELECT scene.* EXCLUDE (chip_id) REPLACE ({', '.join(given)}) FROM ({named}) AS scene "
        f"LEFT JOIN sidecar ON scene.{sidecar.key} = sidecar.{sidecar.key} ORDER BY scene.chip_uri"
    )
    return joined.to_arrow_table().cast(SCENES)


def cut_scenes(
    scenes: pa.Table, cut: Cut, headers: HeaderCache, preprocessing: Preprocessing
) -> CutScenes:
    """The windows of scenes.

    Raises:
        UsageError: the model can score none of the scenes, or no window fits into any.
    """
    tables: list[pa.Table] = []
    places: dict[str, Place] = {}
    misfits: list[str] = []
    for found in list_windows(scenes, cut, headers, preprocessing):
        tables.append(found.rows)
        if found.rejected is not None and found.rejected.reason in _OF_MODEL:
            misfits.append(found.rejected.message)
        if found.scene is not None:
            _check_values(found.scene, found.listed, preprocessing)
            if found.scene.place is not None:
                places[found.listed["chip_uri"]] = found.scene.place
    count = count_of(len(tables), "scene")
    if len(misfits) == len(tables):
        raise UsageError(
            f"--chips: the model of --artifact can score none of {count}: {misfits[0]}"
        )
    windows = pa.concat_tables(tables)
    if not windows.num_rows:
        raise UsageError(
            f"--chips: no window of {cut.cut_px} px is whole in {count}: give a smaller --cut_px, "
            "or --edge pad"
        )
    return CutScenes(len(tables), windows, places)


def _check_values(scene: Scene, listed: Mapping[str, Any], preprocessing: Preprocessing) -> None:
    """Refuse a scale with which every window would be black or white for the model.

    Raises:
        UsageError: names the scene, the values that it can have and those that the model takes.
    """
    bands = SceneBands.from_json(listed["scene_bands"]) if listed["scene_bands"] else None
    if bands is None or bands.are_plain or scene.pixels.dtype.kind not in "iu":
        return
    limits, known = np.iinfo(scene.pixels.dtype), preprocessing.of_scenes
    for name, (low, high) in zip(preprocessing.bands, preprocessing.scaling or (), strict=False):
        at = known.index(name)
        ends = (
            number * bands.scales[at] + bands.offsets[at] for number in (limits.min, limits.max)
        )
        least, most = sorted(ends)
        step = (high - low) / 255
        if most < low + step or least > high - step:
            raise UsageError(
                f"--chips: with the item's scale and offset the band {name} of "
                f"{listed['chip_uri']!r} has values of {least:,.6g} to {most:,.6g}, and the "
                f"model of --artifact was trained on {low:,.6g} to {high:,.6g}: leave scale and "
                "offset out of the item if the training chips had the numbers of the file"
            )


def place_windows(chosen: Selection, places: Mapping[str, Place]) -> Selection:
    """The same selection, in which windows have boxes and footprints."""
    batches = (_placed(batch, places) for batch in chosen.chips)
    reader = pa.RecordBatchReader.from_batches(file_schema(CHIP_MANIFEST), batches)
    return replace(chosen, chips=reader)


def _placed(batch: pa.RecordBatch, places: Mapping[str, Place]) -> pa.RecordBatch:
    windows = np.stack([batch[name].fill_null(0).to_numpy() for name in WINDOW_NAMES], 1)
    bounds = np.full((batch.num_rows, 4), np.nan)
    rings = np.full((batch.num_rows, 4, 2), np.nan)
    for uri, rows in _rows_by_scene(batch):
        if uri in places:
            bounds[rows], rings[rows] = footprints_of_windows(places[uri], windows[rows])
    for name, values in place_columns(bounds, without_folds(rings)).items():
        at = batch.schema.get_field_index(name)
        batch = batch.set_column(at, batch.schema.field(at), values)
    return batch


def _rows_by_scene(batch: pa.RecordBatch) -> Iterator[tuple[str, np.ndarray]]:
    """The rows of the windows of each scene."""
    encoded = batch["scene_uri"].filter(batch["x_px"].is_valid()).dictionary_encode()
    rows, codes = np.flatnonzero(batch["x_px"].is_valid()), encoded.indices.to_numpy()
    for code, uri in enumerate(encoded.dictionary.to_pylist()):
        yield uri, rows[codes == code]
