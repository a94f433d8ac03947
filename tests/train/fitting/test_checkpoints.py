"""Killed training resumes as if it had not been killed; other training is refused."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import UsageError
from schemas.artifact_files import read_artifact
from tests.support.drawn_chips import draw_labelled_jpgs, write_labels
from tests.support.forked import fork
from train.__main__ import main
from train.data.examples import Examples
from train.fitting import epochs
from train.fitting.checkpoints import Checkpoints, remove_checkpoints
from train.fitting.epochs import FitOptions
from train.fitting.fit import fit_network
from train.fitting.progress import Progress
from train.networks.registry import NETWORKS

WEIGHTS = [np.arange(3.0), np.ones((2, 2), np.float32)]


def progress(*losses: float) -> Progress:
    made = Progress()
    for loss in losses:
        made = made.after({"val_loss": loss, "val_map": 1 - loss}, "val_loss", lambda: WEIGHTS)
    return made


def test_a_checkpoint_is_read_back_unchanged_and_the_one_before_is_removed(tmp_path):
    kept = Checkpoints(tmp_path / "kept", {"seed": 0, "upsample": ("a",)})
    assert kept.load() is None
    kept.save(progress(0.5), [np.zeros(4)])
    kept.save(progress(0.5, 0.4), [np.ones(4, np.int64)])
    kept.save(progress(0.5, 0.4, 0.6), [np.full(4, 2)])
    found, variables = kept.load()
    assert (found.history, found.best_epoch) == (progress(0.5, 0.4, 0.6).history, 2)
    for one, other in zip(found.best_weights, WEIGHTS, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(variables, [np.full(4, 2)])
    assert len(list(kept.folder.iterdir())) == 3


def test_an_incomplete_checkpoint_is_ignored(tmp_path, monkeypatch):
    kept = Checkpoints(tmp_path / "kept", {})
    kept.save(progress(0.5), [np.zeros(4)])

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(json, "dumps", killed)
    with pytest.raises(KeyboardInterrupt):
        kept.save(progress(0.5, 0.4), [np.ones(4)])
    monkeypatch.undo()
    found, variables = kept.load()
    assert (found.epochs, found.best_epoch, variables[0][0]) == (1, 1, 0)


def test_another_training_is_refused_with_what_differs_and_what_to_do(tmp_path):
    Checkpoints(tmp_path / "kept", {"seed": 0, "ema": 0.9}).save(progress(0.5), WEIGHTS)
    with pytest.raises(UsageError) as refused:
        Checkpoints(tmp_path / "kept", {"seed": 1, "ema": 0.9}).load()
    said = str(refused.value)
    assert "seed 0, now 1" in said
    assert "ema" not in said
    assert f"remove {tmp_path / 'kept'} to start again" in said
    assert "\n" not in said


def test_options_are_compared_before_the_chips_are_read(tmp_path):
    Checkpoints(tmp_path / "kept", {"seed": 0, "chips": "12"}).save(progress(0.5), WEIGHTS)
    Checkpoints(tmp_path / "kept", {"seed": 0}).check()
    Checkpoints(tmp_path / "nowhere", {"seed": 1}).check()
    with pytest.raises(UsageError, match="seed 0, now 1"):
        Checkpoints(tmp_path / "kept", {"seed": 1}).check()
    with pytest.raises(UsageError, match="chips 12, now None"):
        Checkpoints(tmp_path / "kept", {"seed": 0}).load()


def test_flags_that_were_removed_count_only_if_the_older_release_used_them(tmp_path):
    for mix, fits in (("none", True), ("mixup", False)):
        folder = tmp_path / mix
        before = Checkpoints(folder, {"seed": 0, "mix": mix, "mix_alpha": 0.4})
        before.save(progress(0.5), WEIGHTS)
        now = Checkpoints(folder, {"seed": 0})
        if fits:
            assert now.load() is not None
        else:
            with pytest.raises(UsageError, match="mix mixup, now None"):
                now.load()


@pytest.mark.parametrize("name", ["state.json", "last-00001.npz", "best-00001.npz"])
def test_a_damaged_checkpoint_is_refused_with_what_to_do(tmp_path, name):
    kept = Checkpoints(tmp_path / "kept", {})
    kept.save(progress(0.5), WEIGHTS)
    whole = (kept.folder / name).read_bytes()
    (kept.folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match="to start again"):
        kept.load()


@pytest.mark.parametrize("state", ["[]", "{}", '{"epochs": 3}', "null"])
def test_another_programs_state_is_refused(tmp_path, state):
    (tmp_path / "state.json").write_text(state)
    with pytest.raises(UsageError, match="to start again"):
        Checkpoints(tmp_path, {}).check()


def test_only_files_that_training_writes_are_removed(tmp_path):
    kept = Checkpoints(tmp_path / "kept", {})
    kept.save(progress(0.5), [np.zeros(4)])
    others = ["notes.txt", "last-1.npz", "best-00001.npz.bak", "data/last-00001.npz"]
    for path in map(kept.folder.joinpath, others):
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    kept.save(progress(0.5, 0.4), [np.ones(4)])
    assert all((kept.folder / name).read_text() == "mine" for name in others)
    remove_checkpoints(kept.folder)
    found = {str(p.relative_to(kept.folder)) for p in kept.folder.rglob("*") if p.is_file()}
    assert found == set(others)


@pytest.mark.parametrize("name", ["notes.txt", "folder/x.npz", "last-00001.npz/x"])
def test_training_refuses_a_checkpoint_folder_with_other_files(tmp_path, capsys, name):
    write_labels(tmp_path / "labels.csv", draw_labelled_jpgs(tmp_path / "chips", 6))
    mine = tmp_path / "model.training" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    assert main(command(tmp_path, "model")) == 2
    said = capsys.readouterr().err
    assert "model.training is for checkpoints" in said
    assert repr(name.partition("/")[0]) in said
    assert mine.read_text() == "mine"
    assert not (tmp_path / "model").exists()


def test_training_refuses_a_file_where_checkpoints_belong(tmp_path, capsys):
    write_labels(tmp_path / "labels.csv", draw_labelled_jpgs(tmp_path / "chips", 6))
    (tmp_path / "model.training").write_text("mine")
    assert main(command(tmp_path, "model")) == 2
    assert "'model.training' there is not one" in capsys.readouterr().err
    assert (tmp_path / "model.training").read_text() == "mine"


def test_of_equally_good_epochs_the_first_stays_the_best():
    assert progress(0.5, 0.4, 0.4, 0.45).best_epoch == 2
    by_map = progress(0.5).after({"val_loss": 0.9, "val_map": 0.6}, "val_map", lambda: WEIGHTS)
    assert by_map.best_epoch == 2


def command(folder: Path, name: str, *flags: str) -> list[str]:
    """Training with every option that has a state."""
    return [
        *("--chips", str(folder / "chips"), "--labels", str(folder / "labels.csv")),
        *("--artifact", str(folder / name), "--network", "mean_colour", "--image_size", "16"),
        *("--epochs", "4", "--batch_size", "4", "--augmentation", "strong"),
        *("--ema", "0.5", "--schedule", "cosine", "--repeat_rare", "0.5"),
        *flags,
    ]


def die_in_epoch_3() -> None:
    """Make this process kill itself when training reaches its third epoch."""
    train_epoch = epochs._train_epoch

    def train_or_die(step, train, plan, epoch):
        if epoch == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return train_epoch(step, train, plan, epoch)

    epochs._train_epoch = train_or_die


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> Path:
    """A folder with chips, labels, and checkpoints of a training killed in its third epoch."""
    folder = tmp_path_factory.mktemp("killed")
    write_labels(folder / "labels.csv", draw_labelled_jpgs(folder / "chips", 12))
    training = fork(main, command(folder, "model"), folder / "log", prepare=die_in_epoch_3)
    code, said = training.finish()
    assert code == -signal.SIGKILL, said
    return folder


def test_killed_training_refuses_other_options_in_one_line(killed, capsys):
    assert main([*command(killed, "model", "--ema", "0.9"), "--chips", "nowhere"]) == 2
    err = capsys.readouterr().err
    assert "stopped after epoch 2" in err
    assert "ema 0.5, now 0.9" in err
    assert err.count("\n") == 1


def test_killed_training_resumes_and_ends_as_if_it_had_not_been_killed(killed, capsys):
    kept = killed / "model.training"
    assert json.loads((kept / "state.json").read_text())["epochs"] == 2
    assert not (killed / "model").exists()
    assert main(command(killed, "model")) == 0
    assert "Resuming after epoch 2" in capsys.readouterr().out
    assert not kept.exists()
    assert main(command(killed, "whole")) == 0
    model, whole = (read_artifact(killed / name) for name in ("model", "whole"))
    histories = [dict(one.training["history"]) for one in (model, whole)]
    assert all(len(history.pop("seconds")) == 4 for history in histories)
    assert histories[0] == histories[1]
    assert model.model_digest == whole.model_digest


def test_resumed_dropout_draws_the_same_numbers(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (12, 26, 26, 3), dtype=np.uint8)
    truth = random.integers(0, 2, (12, 3), dtype=np.uint8)
    chips = Examples(tuple(map(str, range(12))), pixels, truth)
    options = FitOptions(3, batch_size=4, learning_rate=1e-3, precision="float32", seed=0)

    def fit(checkpoints):
        return fit_network(NETWORKS["cnn"], chips, chips, options, checkpoints=checkpoints)

    whole = fit(None)
    kept = Checkpoints(tmp_path / "kept", {})
    monkeypatch.setattr("train.fitting.epochs._report", stop_after(2))
    with pytest.raises(KeyboardInterrupt):
        fit(kept)
    monkeypatch.undo()
    again = fit(kept)
    assert again.history["loss"] == pytest.approx(whole.history["loss"], rel=1e-4)
    assert again.history["val_loss"] == pytest.approx(whole.history["val_loss"], rel=1e-4)


def stop_after(epochs: int):
    """Interrupts training after that many epochs, before the last one is saved."""

    def report(progress, *_):
        if progress.epochs == epochs:
            raise KeyboardInterrupt

    return report
