"""The whole command on a few drawn chips: what it writes, prints and refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipelines.storage.store import read_bytes, write_bytes
from schemas.artifact_files import read_artifact
from schemas.labels import PLANET_LABELS
from tests.support.drawn_chips import draw_jpg, draw_labelled_jpgs, draw_labelled_tifs, write_labels
from train.__main__ import main
from train.judging.measuring import predict_scores


def train(folder: Path, *flags: str, artifact: str = "model") -> int:
    common = ["--chips", str(folder / "chips"), "--labels", str(folder / "labels.csv")]
    common += ["--artifact", str(folder / artifact), "--network", "mean_colour", "--epochs", "2"]
    return main([*common, *flags])


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with 24 jpgs, their labels, and a model that was trained on them long enough."""
    folder = tmp_path_factory.mktemp("jpg")
    tags = draw_labelled_jpgs(folder / "chips", 24)
    (folder / "chips/broken.jpg").write_bytes(b"\xff\xd8\xff cut off")
    (folder / "chips/unlabelled.jpg").write_bytes(draw_jpg((0, 0, 0)))
    write_labels(folder / "labels.csv", {**tags, "broken": "haze", "gone": "clear", "c1": "water"})
    assert train(folder, "--epochs", "30", "--learning_rate", "0.3") == 0
    return folder


def test_the_artifact_is_complete_and_opens_with_keras_alone(trained):
    import keras

    artifact = read_artifact(trained / "model")
    files = {"model.keras", "model.h5", "curves.png", "history.csv", "reliability.png"}
    files |= {"openvino.xml", "openvino.bin"}
    assert set(artifact.files) == files | {"model_card.md", "mlm_item.json", "split.csv"}
    assert artifact.preprocessing.accepted_sides_px == (64, 256)
    pixels = np.full((1, 64, 64, 3), (20, 30, 120), np.uint8)
    models = [
        keras.models.load_model(trained / "model" / name, compile=False)
        for name in ("model.keras", "model.h5")
    ]
    assert {str(weight.dtype) for weight in models[0].weights} == {"float32"}
    scores = [predict_scores(model, pixels)[0] for model in models]
    np.testing.assert_array_equal(*scores)
    labels = artifact.label_set.names
    held = {n for n, s, t in zip(labels, scores[0], artifact.thresholds, strict=True) if s >= t}
    assert "water" in held
    assert not held & {"bare_ground", "primary"}


def test_the_artifact_records_what_it_was_trained_on_and_what_was_set_aside(trained):
    artifact = read_artifact(trained / "model")
    training = artifact.training
    assert training["chips"]["train"] + training["chips"]["validation"] == 24
    assert training["set_aside"] == {
        "rows_without_chip": 1,
        "chips_without_row": 1,
        "chips_without_part": 0,
        "rows_without_sky_label": 1,
        "chips_without_learned_label": 0,
        "rejected": {"truncated": 1},
    }
    assert sum(training["positives"][part]["water"] for part in ("train", "validation")) == 8
    assert len(training["history"]["val_loss"]) == training["epochs"]
    assert training["options"]["batch_size"] == 8
    assert "haze" in artifact.unproven_thresholds
    assert set(artifact.figures) == {"validation"}
    assert artifact.versions["keras"]


def test_evaluating_the_training_chips_prints_and_writes_their_figures(trained, capsys):
    flags = ["--chips", str(trained / "chips"), "--labels", str(trained / "labels.csv")]
    assert main(["evaluate", "--artifact", str(trained / "model"), *flags]) == 0
    out = capsys.readouterr().out
    assert "water" in out
    assert "mAP" in out
    report = json.loads((trained / "model.evaluation.json").read_bytes())
    assert report["chips"] == 24
    assert report["labels"]["water"]["at_threshold"]["f1"] > 0.9
    assert report["model_digest"] == read_artifact(trained / "model").model_digest


def test_evaluating_measures_the_part_of_a_split_that_is_asked_for(trained, tmp_path):
    split = tmp_path / "split.csv"
    split.write_text("image_name,split\nc1,test\nc2,test\nc3,val\n")
    flags = ["--chips", str(trained / "chips"), "--labels", str(trained / "labels.csv")]
    flags += ["--artifact", str(trained / "model"), "--output", str(tmp_path / "f.json")]
    assert main(["evaluate", *flags, "--split", str(split)]) == 0
    assert json.loads((tmp_path / "f.json").read_bytes())["chips"] == 2
    assert main(["evaluate", *flags, "--split", str(split), "--part", "validation"]) == 0
    assert json.loads((tmp_path / "f.json").read_bytes())["chips"] == 1


@pytest.mark.parametrize("name", ["notes.txt", "model/artifact.json", "chips", "cut.json"])
def test_evaluating_writes_over_nothing_but_figures(trained, tmp_path, capsys, name):
    """artifact.json has a model_digest, too; a file that was cut off is not ours."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    (tmp_path / "notes.txt").write_text("keep me")
    (tmp_path / "cut.json").write_text('{"model_digest": ')
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    flags = ["--chips", str(tmp_path / "chips"), "--labels", str(tmp_path / "labels.csv")]
    flags += ["--artifact", str(tmp_path / "model"), "--output", str(tmp_path / name)]
    assert main(["evaluate", *flags]) == 2
    message = f"--output: {tmp_path / name} exists and has no figures of an evaluation\n"
    assert capsys.readouterr().err.endswith(message)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_evaluating_refuses_labels_and_chips_that_the_artifact_does_not_know(
    trained, tmp_path, capsys
):
    write_labels(tmp_path / "labels.csv", {"c1": "dock"})
    flags = ["--artifact", str(trained / "model"), "--labels", str(tmp_path / "labels.csv")]
    assert main(["evaluate", *flags, "--chips", str(trained / "chips")]) == 2
    assert "unknown labels: 'dock'" in capsys.readouterr().err
    draw_labelled_tifs(tmp_path / "tifs", 1)
    flags[-1] = str(trained / "labels.csv")
    assert main(["evaluate", *flags, "--chips", str(tmp_path / "tifs")]) == 2
    assert "holds no jpg" in capsys.readouterr().err
    flags[1] = str(tmp_path)
    assert main(["evaluate", *flags, "--chips", str(trained / "chips")]) == 2
    assert "artifact.json is missing" in capsys.readouterr().err


def test_tifs_are_trained_on_all_four_bands_with_their_scaling_kept(tmp_path):
    write_labels(tmp_path / "labels.csv", draw_labelled_tifs(tmp_path / "chips", 10))
    assert train(tmp_path, "--image_size", "16") == 0
    preprocessing = read_artifact(tmp_path / "model").preprocessing
    assert preprocessing.media_type == "tif"
    assert preprocessing.input_shape == (16, 16, 4)
    assert preprocessing.scaling is not None
    assert all(2000 < low < high < 8200 for low, high in preprocessing.scaling)
    assert preprocessing.accepted_sides_px == (16, 256)


def test_other_labels_and_a_split_with_a_test_part(tmp_path, capsys):
    draw_labelled_jpgs(tmp_path / "chips", 9)
    lines = ["image_name,tags,split"]
    parts = ["train"] * 4 + ["val"] * 2 + ["test"] * 2
    lines += [f"c{i}.jpg,mobile-home water,{part}" for i, part in enumerate(parts)]
    (tmp_path / "labels.csv").write_text("\r\n".join(lines))
    assert train(tmp_path, "--split", str(tmp_path / "labels.csv")) == 0
    artifact = read_artifact(tmp_path / "model")
    assert artifact.label_set.names == ("mobile-home", "water")
    assert artifact.label_set.sky == ()
    assert artifact.training["chips"] == {"train": 4, "validation": 2, "test": 2}
    assert artifact.figures["test"]["chips"] == 2
    assert "Test" in capsys.readouterr().out


def test_a_test_part_is_kept_on_request(tmp_path):
    write_labels(tmp_path / "labels.csv", draw_labelled_jpgs(tmp_path / "chips", 10))
    assert train(tmp_path, "--test_share", "0.2", "--validation_share", "0.3") == 0
    artifact = read_artifact(tmp_path / "model")
    assert artifact.training["chips"] == {"train": 5, "validation": 3, "test": 2}
    flags = ["--chips", str(tmp_path / "chips"), "--labels", str(tmp_path / "labels.csv")]
    flags += ["--split", str(tmp_path / "model/split.csv"), "--part", "test"]
    assert main(["evaluate", "--artifact", str(tmp_path / "model"), *flags]) == 0
    figures = json.loads((tmp_path / "model.evaluation.json").read_text())
    assert figures["chips"] == 2
    assert figures["at_threshold"] == artifact.figures["test"]["at_threshold"]


def test_a_second_training_finds_its_pixels_and_returns_the_same_model(tmp_path, capsys):
    write_labels(tmp_path / "labels.csv", draw_labelled_jpgs(tmp_path / "chips", 10))
    digests = []
    for flags in ([], [], ["--pixel_cache", "none"]):
        folder = [] if flags else ["--pixel_cache", str(tmp_path / "pixels")]
        assert train(tmp_path, *folder, *flags) == 0
        digests.append(read_artifact(tmp_path / "model").model_digest)
    out = capsys.readouterr().out
    assert "0 chips decoded, 10 found in the cache" in out
    assert "10 chips decoded, kept in memory" in out
    assert len(set(digests)) == 1


def test_the_artifact_records_argmax_for_sky_labels_and_calibration(tmp_path, capsys):
    write_labels(tmp_path / "labels.csv", draw_labelled_jpgs(tmp_path / "chips", 12))
    assert train(tmp_path, "--sky_rule", "argmax", "--calibrate", "--threshold_beta", "2") == 0
    artifact = read_artifact(tmp_path / "model")
    assert artifact.sky_rule == "argmax"
    assert set(artifact.training["temperatures"]) == set(artifact.label_set.names)
    assert "before_calibration" in artifact.figures["validation"]
    flags = ["--chips", str(tmp_path / "chips"), "--labels", str(tmp_path / "labels.csv")]
    assert main(["evaluate", "--artifact", str(tmp_path / "model"), *flags]) == 0
    labels = json.loads((tmp_path / "model.evaluation.json").read_bytes())["labels"]
    sky = [labels[name]["at_threshold"]["predicted"] for name in artifact.label_set.sky]
    assert sum(sky) == 12


def test_labels_without_a_sky_group_have_no_sky_rule(tmp_path, capsys):
    draw_labelled_jpgs(tmp_path / "chips", 3)
    (tmp_path / "labels.csv").write_text("image_name,tags\nc0,dock\nc1,dock\nc2,sea\n")
    assert train(tmp_path, "--sky_rule", "argmax") == 2
    assert "--sky_rule argmax: the labels have no sky group" in capsys.readouterr().err


def test_training_on_one_archive_of_both_kinds_takes_jpgs_and_says_so(tmp_path, capsys):
    tags = draw_labelled_jpgs(tmp_path / "chips", 6)
    draw_labelled_tifs(tmp_path / "chips", 6)
    write_labels(tmp_path / "labels.csv", tags)
    assert train(tmp_path) == 0
    assert "--media_type tif" in capsys.readouterr().out
    assert read_artifact(tmp_path / "model").preprocessing.media_type == "jpg"


def test_only_an_artifact_is_ever_replaced(tmp_path, capsys):
    write_labels(tmp_path / "labels.csv", draw_labelled_jpgs(tmp_path / "chips", 6))
    assert train(tmp_path) == 0
    before = read_artifact(tmp_path / "model").model_digest
    assert train(tmp_path, "--seed", "1") == 0
    assert read_artifact(tmp_path / "model").model_digest != before
    (tmp_path / "model/notes.txt").write_text("mine")
    assert train(tmp_path) == 2
    assert "notes.txt" in capsys.readouterr().err
    assert train(tmp_path, artifact="chips") == 2
    assert "other files" in capsys.readouterr().err
    assert train(tmp_path, artifact="labels.csv") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chips", "labels.csv", "model"]


def test_training_that_diverges_fails_and_writes_nothing(tmp_path, capsys):
    write_labels(tmp_path / "labels.csv", draw_labelled_jpgs(tmp_path / "chips", 6))
    assert train(tmp_path, "--learning_rate", "1e39") == 1
    assert "--learning_rate" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--network", "resnet"], "resnet"),
        (["--epoch", "3"], "--epoch"),
        (["--epochs", "0"], "at least 1"),
        (["--batch_size", "0"], "at least 1"),
        (["--learning_rate", "nan"], "must be a number, not 'nan'"),
        (["--image_size", "x"], "--image_size"),
        (["--seed", "-1"], "--seed"),
        (["--weights", "imagenet"], "mean_colour starts from none"),
        (["--precision", "bfloat16"], "always trained in float32"),
        (["--network", "vgg16", "--image_size", "16"], "at least 32"),
        (["--network", "vgg16", "--weights", "nowhere.h5"], "no such file"),
        (["--media_type", "tif"], "no tif"),
        (["--threshold_method", "guess"], "guess"),
        (["--threshold_beta", "0"], "must be over 0"),
        (["--sky_rule", "loudest"], "loudest"),
        (["--network", "cnn_sky", "--calibrate"], "softmax"),
        (["--chips", "nowhere"], "nowhere"),
        (["--split", "study", "--test_share", "0.1"], "remove the shares"),
        (["--test_share", "0.9"], "--test_share 0.9"),
        (["--pixel_cache", "gs://bucket/pixels"], "--pixel_cache"),
        (["--pixel_cache_gb", "0"], "must be over 0"),
        (["--artifact", "gs://bucket/model"], "local folder"),
        (["--chips", "ftp://host/chips"], "ftp"),
    ],
)
def test_a_usage_error_ends_with_2_and_one_line(tmp_path, capsys, flags, said):
    write_labels(tmp_path / "labels.csv", draw_labelled_jpgs(tmp_path / "chips", 2))
    assert train(tmp_path, *flags) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_weights_are_read_after_chips_were_found_and_before_one_is_decoded(tmp_path, capsys):
    write_labels(tmp_path / "labels.csv", draw_labelled_jpgs(tmp_path / "chips", 10))
    (tmp_path / "broken.h5").write_bytes(b"no weights")
    weights = ["--network", "vgg16", "--weights", str(tmp_path / "broken.h5")]
    assert train(tmp_path, *weights, "--chips", str(tmp_path / "nowhere")) == 2
    err = capsys.readouterr().err
    assert "nowhere" in err
    assert "broken.h5" not in err
    for chip in (tmp_path / "chips").iterdir():
        chip.write_bytes(b"no jpg")
    assert train(tmp_path, *weights) == 2
    assert "broken.h5" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--labels", "--split", "--groups", "--label_set"])
def test_a_file_that_cannot_be_read_ends_with_1_and_one_line(tmp_path, capsys, flag):
    write_labels(tmp_path / "labels.csv", draw_labelled_jpgs(tmp_path / "chips", 2))
    assert train(tmp_path, flag, "nowhere") == 1
    assert (
        capsys.readouterr().err
        == f"error: {flag}: cannot read 'nowhere': No such file or directory\n"
    )


def test_tensorflow_is_not_loaded_for_help_or_usage_errors(tmp_path):
    write_labels(tmp_path / "labels.csv", {"a": "clear"})
    program = (
        "import sys\n"
        "from train.__main__ import main\n"
        f"flags = ['--chips', {str(tmp_path)!r}, '--labels', {str(tmp_path / 'labels.csv')!r}]\n"
        f"flags += ['--artifact', {str(tmp_path / 'model')!r}]\n"
        "assert main(flags) == 2\n"
        "assert main(['evaluate', *flags]) == 2\n"
        "try:\n"
        "    main(['--help'])\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code\n"
        "assert not {'tensorflow', 'keras', 'apache_beam'} & set(sys.modules)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "holds no image" in done.stderr
    assert "--chips" in done.stdout


def test_one_folder_per_class_is_trained_and_measured_without_a_csv(tmp_path, capsys):
    for number in range(12):
        name = ("bare soil", "sea")[number % 2]
        (tmp_path / "chips" / name).mkdir(parents=True, exist_ok=True)
        colour = ((120, 80, 20), (20, 30, 120))[number % 2]
        (tmp_path / f"chips/{name}/{number // 2}.jpg").write_bytes(draw_jpg(colour))
    flags = ["--chips", str(tmp_path / "chips"), "--artifact", str(tmp_path / "model")]
    train_flags = ["--network", "mean_colour", "--epochs", "30", "--learning_rate", "0.3"]
    assert main([*flags, *train_flags]) == 0
    assert "2 labels in 12 rows: bare soil 6, sea 6" in capsys.readouterr().out
    artifact = read_artifact(tmp_path / "model")
    assert artifact.label_set.names == ("bare soil", "sea")
    split = ["--split", str(tmp_path / "model/split.csv"), "--part", "validation"]
    assert main(["evaluate", *flags, *split]) == 0
    figures = json.loads((tmp_path / "model.evaluation.json").read_text())
    assert figures["chips"] == artifact.training["chips"]["validation"]
    assert main(["evaluate", *flags]) == 0
    figures = json.loads((tmp_path / "model.evaluation.json").read_text())
    assert figures["labels"]["sea"]["positives"] == 6
    assert figures["labels"]["sea"]["at_threshold"]["f1"] == 1.0


def test_every_address_that_is_read_may_be_remote(
    trained, object_store_uri, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    parts = ["train"] * 12 + ["val"] * 6 + ["test"] * 6
    split = "".join(f"c{n},{part},s{n}\n" for n, part in enumerate(parts))
    for path in (trained / "chips").iterdir():
        write_bytes(f"{object_store_uri}/chips/{path.name}", path.read_bytes())
    for path in (trained / "model").iterdir():
        write_bytes(f"{object_store_uri}/model/{path.name}", path.read_bytes())
    label_set = json.dumps(PLANET_LABELS.to_dict())
    write_bytes(f"{object_store_uri}/labels.csv", (trained / "labels.csv").read_bytes())
    write_bytes(f"{object_store_uri}/parts.csv", f"image_name,split,scene_id\n{split}".encode())
    write_bytes(f"{object_store_uri}/set.json", label_set.encode())
    read = {"chips": "chips", "labels": "labels.csv", "split": "parts.csv"}
    flags = [f"--{flag}={object_store_uri}/{name}" for flag, name in read.items()]
    more = [f"--groups={object_store_uri}/parts.csv", f"--label_set={object_store_uri}/set.json"]
    local = ["--artifact", str(tmp_path / "model"), "--network", "mean_colour", "--epochs", "2"]
    assert main([*flags, *more, *local]) == 0
    assert read_artifact(tmp_path / "model").training["chips"]["test"] == 6
    remote = f"--artifact={object_store_uri}/model"
    assert main(["evaluate", *flags, remote]) == 0
    assert f"Figures: {object_store_uri}/model.evaluation.json" in capsys.readouterr().out
    figures = json.loads(read_bytes(f"{object_store_uri}/model.evaluation.json"))
    assert main(["evaluate", *flags, f"--artifact={trained}/model", "--output", "f.json"]) == 0
    local_figures = json.loads(Path("f.json").read_bytes())
    assert figures["chips"] == 6
    assert figures["labels"] == local_figures["labels"]
    assert main(["evaluate", *flags, f"--artifact={object_store_uri}/nothing"]) == 2
    assert capsys.readouterr().err.startswith("error: --artifact: cannot read ")
