"""Chips of any bands and PNGs, as users have them: trained on, evaluated and scored."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from beam_jobs import score_chips
from pipelines.commands import exit_code
from pipelines.tables import delta_tables
from schemas.artifact import Preprocessing
from schemas.artifact_files import read_artifact
from tests.support.samples import make_artifact, write_chips
from tests.support.tars import tar_bytes
from tests.support.tiffs import GEO, encode_tif
from train.__main__ import main as train

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

SIDE = 64
SENTINEL = ("B02", "B03", "B04", "B08", "B11", "B12")
Values = npt.NDArray[Any]


def draw(number: int, bands: int, high: float) -> Values:
    """`[bands, 64, 64]`, between a tenth of `high` and `high`; each chip has other means."""
    rng = np.random.default_rng(number)
    means = rng.uniform(0.2, 0.9, (bands, 1, 1))
    return high * np.clip(means + rng.uniform(-0.1, 0.1, (bands, SIDE, SIDE)), 0.1, 1)


def png(values: Values) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.moveaxis(values, 0, -1).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def chips_of(kind: str, number: int) -> tuple[bytes, Values]:
    """A chip, and its pixels `[64, 64, bands]` as a model must get them: 0 to 255."""
    if kind == "png":
        values = draw(number, 3, 255).astype(np.uint8)
        return png(values), np.moveaxis(values, 0, -1)
    if kind == "rgb":
        values = draw(number, 3, 255).astype(np.uint8)
        return encode_tif(values, photometric="RGB", **GEO), np.moveaxis(values, 0, -1)
    if kind == "six":
        values = draw(number, 6, 10_000).astype(np.uint16)
        data = encode_tif(values, compress="deflate", predictor=2, **GEO)
        return data, np.moveaxis(values[[2, 1, 0, 3, 4, 5]] / 10_000 * 255, 0, -1)
    values = draw(number, 5, 1).astype(np.float32)
    values[:, :9] = np.nan
    data = encode_tif(values, compress="zstd", predictor=3, interleave="band", **GEO)
    return data, np.moveaxis(np.nan_to_num(values) * 255, 0, -1)


MODELS = {
    "png": Preprocessing("png", SIDE, ("red", "green", "blue"), None, (8, 256)),
    "rgb": Preprocessing(
        *("tif", SIDE, ("red", "green", "blue"), None, (8, 256)),
        *(("red", "green", "blue"), "uint8"),
    ),
    "six": Preprocessing(
        *("tif", SIDE, ("B04", "B03", "B02", "B08", "B11", "B12"), ((0.0, 10_000.0),) * 6),
        *((8, 256), SENTINEL, "uint16"),
    ),
    "floats": Preprocessing(
        *("tif", SIDE, tuple("abcde"), ((0.0, 1.0),) * 5, (8, 256)),
        *(tuple("abcde"), "float32"),
    ),
}


@pytest.fixture
def score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs the command in this process; returns exit code and what it said."""

    def run(chips: Path, artifact: Path, *flags: str) -> tuple[int, str]:
        given = {"--chips": chips, "--artifact": artifact, "--output": tmp_path / "out"}
        arguments = [str(part) for pair in given.items() for part in pair]
        code = exit_code(score_chips.main, [*arguments, "--precision", "float32", *flags])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


def rows(output: Path, name: str) -> list[dict[str, Any]]:
    table = delta_tables.open_table(str(output), name)
    return [] if table is None else delta_tables.open_dataset(table).to_table().to_pylist()


def scores_of(model: Any, pixels: list[Values]) -> Values:
    """By the network itself, on whole grey values."""
    batch = np.rint(np.stack(pixels)).astype(np.float32)
    found: Values = model(batch, training=False).numpy()
    return found


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("in_tar", [False, True])
def test_chips_have_the_scores_of_their_own_pixels(
    kind: str, in_tar: bool, score: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    import keras

    artifact = make_artifact(tmp_path / "model", MODELS[kind])
    ending = "png" if kind == "png" else "tif"
    drawn = {f"{number}.{ending}": chips_of(kind, number) for number in range(6)}
    (tmp_path / "chips").mkdir()
    if in_tar:
        members = [(name, data) for name, (data, _) in drawn.items()]
        (tmp_path / "chips/t.tar").write_bytes(tar_bytes(members))
    else:
        for name, (data, _) in drawn.items():
            (tmp_path / "chips" / name).write_bytes(data)
    code, said = score(tmp_path / "chips", tmp_path / "model")
    assert code == 0, said
    found = {row["chip_id"]: row for row in rows(tmp_path / "out", "chip_scores")}
    model = keras.models.load_model(tmp_path / "model/model.keras")
    expected = scores_of(model, [pixels for _, pixels in drawn.values()])
    names = [f"score_{name}" for name in artifact.label_set.names]
    got = [[found[name.partition(".")[0]][column] for column in names] for name in drawn]
    np.testing.assert_allclose(got, expected, atol=0.01)
    assert {row["media_type"] for row in found.values()} == {ending}
    assert all((row["lon_min"] is not None) == (ending == "tif") for row in found.values())


def test_chips_that_do_not_fit_are_quarantined_with_what_they_are_and_what_the_model_takes(
    score: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    make_artifact(tmp_path / "model", MODELS["six"])
    (tmp_path / "chips").mkdir()
    odd = {
        "good": chips_of("six", 0)[0],
        "few": encode_tif(draw(1, 4, 9000).astype(np.uint16)),
        "signed": encode_tif(draw(1, 6, 9000).astype(np.int16)),
        "floats": encode_tif(draw(1, 6, 1).astype(np.float32)),
        "picture": png(draw(1, 3, 255)),
    }
    for name, data in odd.items():
        (tmp_path / "chips" / f"{name}.tif").write_bytes(data)
    takes = "and the model takes B04, B03, B02, B08, B11, B12 of 6 x uint16"
    code, said = score(tmp_path / "chips", tmp_path / "model")
    assert code == 1
    assert f"(wrong_bands 3, media_type 1; the first of wrong_bands: 4 x uint16, {takes})" in said
    code, said = score(tmp_path / "chips", tmp_path / "model", "--max_quarantine_ratio", "1")
    assert code == 0, said
    found = {row["chip_id"]: row for row in rows(tmp_path / "out", "quarantine")}
    assert {name: (row["reason"], row["message"]) for name, row in found.items()} == {
        "few": ("wrong_bands", f"4 x uint16, {takes}"),
        "signed": ("wrong_bands", f"6 x int16, {takes}"),
        "floats": ("wrong_bands", f"6 x float32, {takes}"),
        "picture": ("media_type", "the bytes are png, the model takes tif"),
    }


def test_pngs_next_to_jpgs_are_left_out_and_pngs_alone_are_refused_by_a_model_of_jpgs(
    score: Callable[..., tuple[int, str]], artifact: Path, tmp_path: Path
) -> None:
    (tmp_path / "pngs").mkdir()
    (tmp_path / "pngs/preview.png").write_bytes(chips_of("png", 0)[0])
    code, said = score(tmp_path / "pngs", artifact)
    assert code == 2
    assert "--chips holds 1 png chip and no jpg, and the model of --artifact takes jpg" in said
    write_chips(tmp_path / "pngs", 2)
    code, said = score(tmp_path / "pngs", artifact)
    assert code == 0
    assert "--chips: 1 png file ignored, the model of --artifact takes jpg" in said
    assert len(rows(tmp_path / "out", "chip_scores")) == 2
    assert not rows(tmp_path / "out", "quarantine")


@pytest.mark.parametrize(
    ("kind", "flags", "bands", "stored", "samples"),
    [
        ("png", [], ("red", "green", "blue"), (), None),
        ("rgb", [], ("red", "green", "blue"), ("red", "green", "blue"), "uint8"),
        ("six", ["--bands", ",".join(SENTINEL)], SENTINEL, SENTINEL, "uint16"),
        ("floats", ["--bands", "4,3"], ("band_4", "band_3"), None, "float32"),
    ],
)
def test_a_network_is_trained_and_evaluated_on_them(
    kind: str,
    flags: list[str],
    bands: tuple[str, ...],
    stored: tuple[str, ...] | None,
    samples: str | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "chips").mkdir()
    ending = "png" if kind == "png" else "tif"
    for number in range(24):
        data, _ = chips_of(kind, number)
        (tmp_path / "chips" / f"{number}.{ending}").write_bytes(data)
    with (tmp_path / "labels.csv").open("w") as file:
        named = [(number, "sea" if number % 2 else "sea dock") for number in range(24)]
        csv.writer(file).writerows([("image_name", "tags"), *named])
    given = ["--chips", tmp_path / "chips", "--labels", tmp_path / "labels.csv"]
    model = ["--artifact", tmp_path / "model", "--pixel_cache", "none"]
    asked = ["--network", "mean_colour", "--epochs", "1", "--image_size", "32", "--convert", "none"]
    assert train([str(part) for part in [*given, *model, *asked, *flags]]) == 0
    made = read_artifact(tmp_path / "model").preprocessing
    numbered = tuple(f"band_{n}" for n in range(1, 6))
    assert (made.media_type, made.bands, made.samples) == (ending, bands, samples or "uint8")
    assert made.stored_bands == (numbered if stored is None else stored)
    assert (made.scaling is None) == (kind in ("png", "rgb"))
    results = ["--artifact", tmp_path / "model", "--output", tmp_path / "figures.json"]
    assert train([str(part) for part in ["evaluate", *given, *results]]) == 0
    assert "24 chips" in capsys.readouterr().out
