"""Which weights the networks of a study start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.errors import UsageError
from train.study.models.start_weights import check_start_weights, weights_for
from train.study.options import StudyOptions


def asked(weights: str | None, models: str = "all") -> StudyOptions:
    return StudyOptions(chips="c", output="o", models=models, weights=weights)


@pytest.mark.parametrize("weights", [None, "imagenet", "none"])
def test_a_word_is_for_every_network(weights):
    both = asked(weights, "vgg16,resnet50v2")
    check_start_weights(both)
    assert {weights_for(both, name) for name in ("vgg16", "resnet50v2")} == {weights}


def test_a_file_is_for_the_one_pretrained_network_that_is_asked_for(tmp_path: Path):
    file = tmp_path / "w,eights=a.h5"
    file.write_bytes(b"x")
    for models, owner in {"all": "vgg16", "cnn,densenet121": "densenet121"}.items():
        options = asked(str(file), models)
        check_start_weights(options)
        found = {name: weights_for(options, name) for name in ("vgg16", "densenet121")}
        assert found == {**dict.fromkeys(found), owner: str(file)}


def test_files_of_several_networks_are_named(tmp_path: Path):
    for name in ("a.h5", "b.h5"):
        (tmp_path / name).write_bytes(b"x")
    pairs = f"vgg16={tmp_path}/a.h5, resnet50v2={tmp_path}/b.h5"
    options = asked(pairs, "vgg16,resnet50v2,densenet121")
    check_start_weights(options)
    assert weights_for(options, "vgg16") == f"{tmp_path}/a.h5"
    assert weights_for(options, "resnet50v2") == f"{tmp_path}/b.h5"
    assert weights_for(options, "densenet121") is None


@pytest.mark.parametrize(
    ("weights", "models", "said"),
    [
        ("{folder}/a.h5", "vgg16,resnet50v2", "vgg16=FILE,resnet50v2=FILE"),
        ("{folder}/b.h5", "vgg16", "no such file"),
        ("vgg16={folder}/b.h5", "vgg16", "no such file"),
        ("cnn={folder}/a.h5", "vgg16", "cnn starts from none"),
        ("{folder}", "vgg16", "not an artifact"),
    ],
)
def test_weights_that_no_network_starts_from_are_refused(tmp_path, weights, models, said):
    (tmp_path / "a.h5").write_bytes(b"x")
    with pytest.raises(UsageError, match=said):
        check_start_weights(asked(weights.format(folder=tmp_path), models))
