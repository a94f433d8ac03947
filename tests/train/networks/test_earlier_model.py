"""Training goes on from an earlier artifact: labels by name, layers by theirs, and it says so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pipelines.artifacts.loading import load_model
from schemas.artifact import ModelArtifact
from schemas.artifact_files import read_artifact
from tests.support.drawn_chips import draw_labelled_jpgs, draw_labelled_tifs, write_labels
from train.__main__ import main
from train.judging.measuring import predict_scores

STILL = ("--learning_rate", "1e-12")
"""At this rate a step moves no weight that shows."""

LABELS = ("bare_ground", "primary", "water")


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """Chips with three labels, and the artifacts `mean` (mean_colour) and `cnn` at 32 pixels."""
    folder = tmp_path_factory.mktemp("world")
    tags = draw_labelled_jpgs(folder / "chips", 12)
    write_csv(folder / "labels.csv", {name: held.split()[1] for name, held in tags.items()})
    write_csv(folder / "others.csv", dict.fromkeys(tags, "palm") | {"c0": "burn", "c1": "burn"})
    assert train(folder, "mean", "mean_colour", "--learning_rate", "0.3") == 0
    assert train(folder, "cnn", "cnn") == 0
    return folder


def write_csv(path: Path, tags: dict[str, str]) -> None:
    """Labels, with a label set of exactly those that occur, in reverse order."""
    write_labels(path, tags)
    names = sorted({label for held in tags.values() for label in held.split()}, reverse=True)
    path.with_suffix(".json").write_text(json.dumps({"labels": names, "sky": []}))


def train(folder: Path, name: str, network: str, *flags: str, labels: str = "labels") -> int:
    asked = {"chips": folder / "chips", "labels": folder / f"{labels}.csv"}
    asked |= {"label_set": folder / f"{labels}.json", "artifact": folder / name}
    asked |= {"network": network, "epochs": 1, "convert": "none", "pixel_cache": "none"}
    size = () if "--weights" in flags else ("--image_size", "32")
    return main([*(f"--{flag}={value}" for flag, value in asked.items()), *size, *flags])


def go_on(folder: Path, name: str, earlier: str, *flags: str, labels: str = "labels") -> int:
    network = read_artifact(folder / earlier).network
    start = ("--weights", str(folder / earlier), *STILL)
    return train(folder, name, network, *start, *flags, labels=labels)


def scores_of(folder: Path, artifact: ModelArtifact) -> dict[str, np.ndarray]:
    pixels = np.random.default_rng(0).integers(0, 256, (4, *artifact.preprocessing.input_shape))
    scores = predict_scores(load_model(folder, artifact), pixels.astype(np.uint8))
    return dict(zip(artifact.label_set.names, scores.T, strict=True))


def weights_of(folder: Path) -> dict[str, list[np.ndarray]]:
    model = load_model(folder, read_artifact(folder))
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def same(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return all(np.allclose(a, b, atol=1e-6) for a, b in zip(first, second, strict=True))


# --- Labels --------------------------------------------------------------------------------------


def test_labels_are_kept_by_name_and_new_ones_start_fresh(world, capsys):
    tags = {f"c{i}": LABELS[i % 3] + (" burn" if i % 2 else "") for i in range(12)}
    tags = {name: held.replace("water", "palm") for name, held in tags.items()}
    write_csv(world / "year.csv", tags)
    assert go_on(world, "next", "mean", labels="year") == 0
    before, after = read_artifact(world / "mean"), read_artifact(world / "next")
    assert after.label_set.names == ("primary", "palm", "burn", "bare_ground")
    earlier, later = scores_of(world / "mean", before), scores_of(world / "next", after)
    for label in ("primary", "bare_ground"):
        np.testing.assert_allclose(later[label], earlier[label], atol=1e-5)
    assert np.abs(later["palm"] - earlier["water"]).max() > 1e-3
    known = after.training["weights"]["artifact"]
    assert known["model_digest"] == before.model_digest
    assert known["address"] == str(world / "mean")
    assert known["labels_kept"] == ["primary", "bare_ground"]
    assert (known["labels_new"], known["labels_dropped"]) == (["palm", "burn"], ["water"])
    assert known["fresh_layers"] == []
    said = "labels kept: primary, bare_ground; labels new: palm, burn; labels dropped: water"
    assert said in capsys.readouterr().out


def test_the_card_and_the_catalogue_name_the_source(world):
    assert go_on(world, "named", "mean") == 0
    card = (world / "named/model_card.md").read_text()
    assert str(world / "mean") in card.replace("\\", "")
    assert read_artifact(world / "mean").model_digest in card
    item = json.loads((world / "named/mlm_item.json").read_text())["properties"]
    assert item["mlm:pretrained"] is True
    assert item["mlm:pretrained_source"] == f"the artifact {world / 'mean'}"


def test_without_a_label_in_common_the_layers_below_are_taken_over_and_it_says_so(world, capsys):
    assert go_on(world, "foreign", "cnn", labels="others") == 0
    before, after = weights_of(world / "cnn"), weights_of(world / "foreign")
    for name in ("conv1", "conv3", "dense"):
        assert same(before[name], after[name])
    assert "No label is in common, so only the layers below" in capsys.readouterr().out
    known = read_artifact(world / "foreign").training["weights"]["artifact"]
    assert (known["labels_kept"], known["fresh_layers"]) == ([], ["scores"])


# --- Image sizes ---------------------------------------------------------------------------------


def test_the_size_is_the_earlier_one_if_none_is_given(world):
    assert read_artifact(world / "cnn").preprocessing.image_size == 32
    assert go_on(world, "sized", "cnn") == 0
    assert read_artifact(world / "sized").preprocessing.image_size == 32
    before, after = weights_of(world / "cnn"), weights_of(world / "sized")
    assert all(same(before[name], after[name]) for name in before)


def test_averaged_features_carry_over_to_another_size(world):
    assert train(world, "averaged", "cnn", "--pooling", "average") == 0
    assert go_on(world, "larger", "averaged", "--image_size", "48", "--pooling", "average") == 0
    before, after = weights_of(world / "averaged"), weights_of(world / "larger")
    assert all(same(before[name], after[name]) for name in before)


def test_layers_on_flattened_features_start_fresh_at_another_size_and_it_says_so(world, capsys):
    assert go_on(world, "wider", "cnn", "--image_size", "48") == 0
    said = "features have another size, so these start fresh: dense, scores"
    assert said in capsys.readouterr().out
    before, after = weights_of(world / "cnn"), weights_of(world / "wider")
    assert same(before["conv3"], after["conv3"])
    assert not same(before["scores"], after["scores"])
    known = read_artifact(world / "wider").training["weights"]["artifact"]
    assert (known["fresh_layers"], known["labels_kept"]) == (["dense", "scores"], [])


def test_a_model_with_test_time_views_is_gone_on_from_without_them(world):
    assert train(world, "views", "mean_colour", "--test_time_views", "4") == 0
    assert go_on(world, "plain", "views") == 0
    before, after = weights_of(world / "views"), weights_of(world / "plain")
    assert same(before["scores"], after["scores"])
    assert set(after) == {"scores"}


# --- What is refused -----------------------------------------------------------------------------


def test_another_network_is_refused_and_both_are_named(world, capsys):
    assert train(world, "no", "cnn", "--weights", str(world / "mean")) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --weights: ")
    assert "has the network mean_colour, and --network is cnn" in error
    assert len(error.splitlines()) == 1
    assert not (world / "no").exists()


def test_other_bands_are_refused_and_both_are_named_before_chips_are_decoded(tmp_path, capsys):
    tags = draw_labelled_tifs(tmp_path / "chips", 12)
    write_csv(tmp_path / "labels.csv", tags)
    assert train(tmp_path, "rgb", "mean_colour", "--bands", "rgb") == 0
    capsys.readouterr()
    assert train(tmp_path, "all", "mean_colour", "--weights", str(tmp_path / "rgb")) == 2
    out, error = capsys.readouterr()
    assert "it takes the bands red, green, blue, and this training blue, green, red, near" in error
    assert "decoded" not in out


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("{world}", "artifact.json is missing: is this a model artifact?"),
        ("{world}/nothing", "there is no such file; it takes imagenet, none, an artifact or"),
        ("{world}/labels.csv", "mean_colour starts from none or an artifact"),
        ("imagenet", "mean_colour starts from none or an artifact"),
        ("ftp://x/y", "error: --weights: 'ftp://x/y': use a local path, gs:// or s3://"),
    ],
)
def test_what_is_no_artifact_is_refused_in_a_line(world, weights, said, capsys):
    assert train(world, "no", "mean_colour", "--weights", weights.format(world=world)) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1


def test_an_artifact_that_was_not_signed_as_asked_is_refused(world, capsys):
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    (world / "key.pem").write_bytes(key.public_bytes(serialization.Encoding.PEM, form))
    trusting = ("--trusted_key", str(world / "key.pem"))
    assert train(world, "no", "mean_colour", "--weights", str(world / "mean"), *trusting) == 2
    assert "signed" in capsys.readouterr().err
    assert train(world, "no", "mean_colour", *trusting) == 2
    assert "--trusted_key needs --weights with an artifact" in capsys.readouterr().err
