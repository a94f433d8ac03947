"""The whole study on a few drawn chips: what it trains, keeps, writes and refuses."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipelines.blocks.document import cell_text
from pipelines.commands import EXIT_INTERRUPTED
from pipelines.errors import RunFailed
from schemas.artifact_files import read_artifact
from tests.support.drawn_chips import draw_labelled_jpgs, write_labels
from train.__main__ import main
from train.fitting.checkpoints import Checkpoints
from train.forest.forest import ForestGrid
from train.study.models import filter_pictures, forest_model
from train.study.models import models as study_models


@pytest.fixture(scope="module", autouse=True)
def _small() -> Iterator[None]:
    """A grid of one forest, and one filter picture after one step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forest_model, "GRID", ForestGrid((2,), (4,), 2))
        patch.setattr(filter_pictures, "FILTERS", 1)
        patch.setattr(filter_pictures, "STEPS", 1)
        yield


def study(folder: Path, *flags: str) -> int:
    common = ["study", "--chips", str(folder / "chips"), "--labels", str(folder / "labels.csv")]
    common += ["--output", str(folder / "study"), "--models", "forest,mean_colour,cnn"]
    return main([*common, "--image_size", "26", "--epochs", "1", *flags])


def write_split(path: Path, count: int) -> None:
    parts = ["train", "train", "train", "validation", "test"]
    rows = [f"c{i},{parts[i % len(parts)]}" for i in range(count)]
    path.write_text("\n".join(["image_name,split", *rows]) + "\n")


def draw(folder: Path, count: int = 30) -> None:
    write_labels(folder / "labels.csv", draw_labelled_jpgs(folder / "chips", count))
    write_split(folder / "split.csv", count)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A folder with chips, labels, a split and the study of two models."""
    folder = tmp_path_factory.mktemp("study")
    draw(folder)
    assert study(folder, "--split", str(folder / "split.csv")) == 0
    return folder


def copy(finished: Path, folder: Path) -> Path:
    """A copy of the finished study and its chips, for a test to change."""
    for name in ("chips", "study"):
        shutil.copytree(finished / name, folder / name)
    for name in ("labels.csv", "split.csv"):
        shutil.copy2(finished / name, folder / name)
    return folder


def read_study(folder: Path) -> dict:
    return json.loads((folder / "study/study.json").read_bytes())


class Page(HTMLParser):
    """Addresses, styles and texts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.cells: list[str] = []
        self.in_cell = False

    def handle_starttag(self, tag, attrs):
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        self.in_cell = tag == "td"

    def handle_endtag(self, tag):
        self.in_cell = False

    def handle_data(self, data):
        if self.in_cell:
            self.cells.append(data)


def read_page(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def test_the_study_leaves_models_figures_report_and_slides(finished):
    names = {path.name for path in (finished / "study").iterdir()}
    assert {"study.json", "report.html", "report.md", "slides.html", "models", "best"} <= names
    written = read_study(finished)
    assert list(written["models"]) == ["forest", "mean_colour", "cnn"]
    assert written["models"]["forest"]["figures"]["test"]["chips"] == 6
    for name in ("mean_colour", "cnn"):
        model = written["models"][name]
        artifact = read_artifact(finished / "study/models" / name)
        assert model["figures"] == artifact.figures
        assert model["figures"]["test"]["chips"] == 6


def test_the_best_model_is_saved_as_keras_and_as_h5(finished):
    best = read_study(finished)["comparison"]["best"]
    artifact = read_artifact(finished / "study/best")
    assert {"model.keras", "model.h5"} <= set(artifact.files)
    assert artifact.model_digest == read_artifact(finished / "study/models" / best).model_digest


@pytest.mark.parametrize("name", ["report.html", "slides.html"])
def test_a_page_requests_nothing_from_a_server_and_needs_no_other_file(finished, name):
    page = read_page(finished / "study" / name)
    outside = [a for a in page.addresses if not a.startswith(("#", "data:image/png;base64,"))]
    assert outside == []
    assert not re.search(r"@import|url\(|https?://", (finished / "study" / name).read_text())


def test_the_numbers_in_the_report_are_those_of_the_json(finished):
    written = read_study(finished)
    cells = read_page(finished / "study/report.html").cells
    text = (finished / "study/report.md").read_text()
    for model in (model for model in written["models"].values() if model["network"]):
        assert f"{model['parameters']:,} parameters" in text
        means = model["figures"]["test"]["at_threshold"]["macro_f1"]
        rows = model["figures"]["test"]["labels"].values()
        low, high = model["figures"]["test"]["intervals"]["at_threshold"]["macro_f1"]
        assert f"{low:.2f} to {high:.2f}" in cells
        for value in [means, *(row["threshold"] for row in rows)]:
            assert cell_text(value) in cells
            assert cell_text(value) in text


def test_every_picture_that_the_markdown_links_to_exists(finished):
    links = re.findall(r"\]\(([^)]+\.png)\)", (finished / "study/report.md").read_text())
    assert {link.split("/")[0] for link in links} == {
        "exploration",
        "models",
        "comparison",
        "filters",
    }
    assert all((finished / "study" / link).is_file() for link in links)


def states(folder: Path) -> dict[str, tuple[str, int]]:
    """Digest and time of each model."""
    return {
        name: (read_artifact(path).model_digest, (path / "model.keras").stat().st_mtime_ns)
        for name in ("mean_colour", "cnn")
        if (path := folder / "study/models" / name).is_dir()
    }


def test_a_finished_model_is_not_trained_again(finished, capsys):
    before = states(finished)
    assert study(finished, "--split", str(finished / "split.csv")) == 0
    assert states(finished) == before
    assert capsys.readouterr().out.count("kept: ") == 4  # the exploration and the forest, too


def test_a_stopped_study_continues_where_it_stopped(finished, tmp_path, monkeypatch, capsys):
    copy(finished, tmp_path)
    flags = ["--split", str(tmp_path / "split.csv"), "--epochs", "2"]
    save = Checkpoints.save

    def save_and_stop(checkpoints, *arguments):
        save(checkpoints, *arguments)
        if checkpoints.folder.name == "cnn.training":
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", save_and_stop)
    assert study(tmp_path, *flags) == EXIT_INTERRUPTED
    monkeypatch.undo()
    before = states(tmp_path)["mean_colour"]
    capsys.readouterr()
    assert study(tmp_path, *flags) == 0
    out = capsys.readouterr().out
    assert out.count("kept: ") == 3  # the exploration, the forest and mean_colour
    assert "Resuming after epoch 1" in out
    assert states(tmp_path)["mean_colour"] == before
    assert read_study(tmp_path)["models"]["cnn"]["epochs"] == 2


def test_a_model_that_fails_does_not_stop_the_study(finished, tmp_path, monkeypatch, capsys):
    copy(finished, tmp_path)
    shutil.rmtree(tmp_path / "study/models/mean_colour")

    def fail(options):
        raise RunFailed("the loss is not a number <b>")

    monkeypatch.setattr(study_models, "train_model", fail)
    assert study(tmp_path, "--split", str(tmp_path / "split.csv")) == 1
    assert "mean_colour: the loss is not a number" in capsys.readouterr().err
    report = (tmp_path / "study/report.html").read_text()
    assert "failed: the loss is not a number &lt;b&gt;" in report
    assert list(read_study(tmp_path)["models"]) == ["forest", "cnn"]


def test_hostile_label_names_are_shown_in_the_report_as_text(tmp_path):
    names = ["<script>x</script>", "a|b", "*c*"]
    draw_labelled_jpgs(tmp_path / "chips", 12)
    write_labels(tmp_path / "labels.csv", {f"c{i}": names[i % 3] for i in range(12)})
    assert study(tmp_path, "--models", "mean_colour") == 0
    assert "<script>x" not in (tmp_path / "study/report.html").read_text()
    assert set(names) <= set(read_page(tmp_path / "study/report.html").cells)
    assert "a\\|b" in (tmp_path / "study/report.md").read_text()


@pytest.mark.parametrize(
    ("flags", "message", "code"),
    [
        (["--models", "resnet"], "'resnet'", 2),
        (["--output", "gs://bucket/study"], "local folder", 2),
        (["--output", __file__], "is a file", 2),
        (["--published", "nowhere.csv"], "nowhere.csv", 1),
        (["--split", "nowhere.csv"], "nowhere.csv", 1),
        (["--models", "vgg16"], "at least 32", 2),
        (["--epochs", "0"], "at least 1", 2),
    ],
)
def test_bad_input_ends_with_one_line_before_anything_is_trained(
    tmp_path, capsys, flags, message, code
):
    draw(tmp_path, 4)
    assert study(tmp_path, *flags) == code
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "study/models").exists()
