"""What goes into a network: bands, types and scaling, and what of it is in a digest."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.artifact import BANDS, ArtifactError, Preprocessing, canonical_json
from schemas.artifact_files import read_artifact
from schemas.networks.preprocessing import is_band_name
from tests.support.releases import unpack
from tests.support.samples import JPG, TIF

SIX = Preprocessing(
    "tif", 64, ("B04", "B08"), ((0.0, 1.0),) * 2, (64, 256), ("B04", "B08", "B11"), "uint16"
)
PNG = Preprocessing("png", 64, BANDS["png"], None, (64, 256))


@pytest.mark.parametrize("known", [JPG, TIF, PNG, SIX])
def test_it_is_read_as_it_was_written(known: Preprocessing) -> None:
    assert Preprocessing.from_dict(known.to_dict()) == known


def test_those_of_earlier_artifacts_have_the_fields_that_they_had() -> None:
    names = ["media_type", "image_size", "bands", "scaling", "accepted_sides_px"]
    for known in (JPG, TIF, PNG):
        assert list(known.to_dict()) == names
    assert list(SIX.to_dict()) == [*names, "stored_bands", "sample_type"]


def test_what_of_them_is_in_a_digest_is_what_was_in_it() -> None:
    """As the release of 2026-11-29 wrote it."""
    assert canonical_json(TIF.to_dict()) == (
        b'{"accepted_sides_px":[64,1024],"bands":["blue","green","red","near_infrared"],'
        b'"image_size":64,"media_type":"tif",'
        b'"scaling":[[2000.0,12000.0],[2000.0,12000.0],[2000.0,12000.0],[2000.0,12000.0]]}'
    )
    assert canonical_json(JPG.to_dict()) == (
        b'{"accepted_sides_px":[64,1024],"bands":["red","green","blue"],"image_size":64,'
        b'"media_type":"jpg","scaling":null}'
    )


def test_an_artifact_of_an_earlier_release_opens_with_unchanged_digests(tmp_path: Path) -> None:
    unpack(tmp_path)
    written = json.loads((tmp_path / "model/artifact.json").read_bytes())
    artifact = read_artifact(tmp_path / "model")  # which computes the digest of the model again
    assert artifact.model_digest == written["model_digest"]
    assert canonical_json(artifact.preprocessing.to_dict()) == canonical_json(
        written["preprocessing"]
    )
    assert (artifact.preprocessing.stored_bands, artifact.preprocessing.sample_type) == ((), None)


def test_what_is_not_written_is_four_bands_of_uint16_or_bytes_of_colours() -> None:
    assert (TIF.stored, TIF.samples, TIF.kind) == (BANDS["tif"], "uint16", "4 x uint16")
    assert (JPG.stored, JPG.samples) == (("red", "green", "blue"), "uint8")
    assert (SIX.stored, SIX.kind) == (("B04", "B08", "B11"), "3 x uint16")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample_type": None}, "stored_bands and sample_type go together"),
        ({"stored_bands": ()}, "stored_bands and sample_type go together"),
        ({"media_type": "png", "scaling": None}, "a png model has no stored_bands"),
        ({"sample_type": "uint32"}, "sample_type must be uint8, uint16, int16 or float32"),
        ({"stored_bands": tuple(f"b{n}" for n in range(17))}, "17 stored_bands, at most 16"),
        ({"stored_bands": ("B04", "B08", "b04")}, "a band is stored twice"),
        ({"stored_bands": ("B04", "B08", "a,b")}, "'a,b' cannot be the name of a band"),
        ({"stored_bands": ("B04", "B08", 3)}, "3 cannot be the name of a band"),
        ({"bands": ("B04", "B12")}, r"bands \['B12'\] are not among a tif's: B04, B08, B11"),
        ({"scaling": None}, "a tif model of uint16 needs scaling"),
        ({"scaling": ((0.0, 1.0),)}, "1 scalings for 2 bands"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        replace(SIX, **changes)


def test_bytes_need_no_scaling_and_may_have_one() -> None:
    assert replace(SIX, sample_type="uint8", scaling=None).scaling is None
    assert replace(SIX, sample_type="uint8").scaling is not None


def test_chips_may_be_as_large_as_their_samples_take() -> None:
    assert TIF.max_bytes == 1024**2 * 8 + (1 << 20)
    floats = replace(
        SIX, sample_type="float32", stored_bands=("B04", "B08", *map(chr, range(97, 111)))
    )
    assert floats.max_bytes == 256**2 * 17 * 4 + (1 << 20)
    assert replace(SIX, sample_type="uint8", scaling=None).max_bytes == 256**2 * 8 + (1 << 20)


@pytest.mark.parametrize("name", ["B02", "near infrared (842 nm)", "é", "x" * 64])
def test_names_are_short_text(name: str) -> None:
    assert is_band_name(name)


@pytest.mark.parametrize("name", ["", "12", "a,b", " a", "a\n", "\ud800", "x" * 65, None, 4])
def test_lists_numbers_and_text_that_cannot_be_printed_are_no_names(name: object) -> None:
    assert not is_band_name(name)


@given(st.text(max_size=8))
def test_any_name_is_kept(name: str) -> None:
    if is_band_name(name):
        known = replace(SIX, stored_bands=("B04", "B08", f"x{name}"))
        assert Preprocessing.from_dict(known.to_dict()) == known
