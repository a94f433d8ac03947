"""The options of training: flags, recipes, and contradictions."""

from __future__ import annotations

import pytest

from pipelines.errors import UsageError
from pipelines.flags import flags_of
from train.fitting.augmentation import Augmentation
from train.fitting.sampling import Imbalance
from train.fitting.schedule import Schedule
from train.options import TrainOptions, check_options, parse_train_options
from train.recipes import RECIPES

NEEDED = ["--chips", "c", "--labels", "l", "--artifact", "a"]


def options(*flags: str) -> TrainOptions:
    return parse_train_options([*NEEDED, *flags])


def test_without_flags_all_options_have_their_defaults():
    assert options() == TrainOptions(chips="c", labels="l", artifact="a")


def test_flags_of_a_group_become_its_fields():
    asked = options("--augmentation", "strong", "--upsample", "road", "water", "--ema", "0.9")
    assert asked.augmentation == Augmentation(level="strong")
    assert asked.imbalance == Imbalance(upsample=("road", "water"))
    assert asked.schedule == Schedule(ema=0.9)


def test_flags_that_were_removed_are_accepted_with_a_warning_and_change_nothing(capsys):
    assert options("--mix", "cutmix", "--mix_alpha", "1") == options()
    assert capsys.readouterr().err.splitlines() == [
        "warning: --mix has no effect any more; the next release refuses it",
        "warning: --mix_alpha has no effect any more; the next release refuses it",
    ]


def test_a_recipe_fills_in_only_missing_flags():
    asked = options("--epochs", "7", "--recipe", "best", "--augmentation", "flips")
    assert (asked.epochs, asked.augmentation.level) == (7, "flips")
    assert asked.monitor == RECIPES["best"]["monitor"]
    assert asked.schedule.layer_decay == RECIPES["best"]["layer_decay"]


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_uses_existing_flags(name):
    assert set(RECIPES[name]) <= {flag.field for flag in flags_of(TrainOptions)}
    check_options(options("--recipe", name))


def test_without_a_recipe_the_study_is_followed():
    assert {**vars(options("--recipe", "study")), "recipe": None} == vars(options())


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--recipe", "worst"], "worst"),
        (
            ["--recipe", "best", "--network", "cnn"],
            "pretrained weights, which cnn",
        ),
        (["--layer_decay", "0.5", "--network", "cnn"], "has no blocks"),
        (["--loss", "focal", "--network", "cnn_sky"], "loss of its own"),
        (["--warmup_epochs", "5", "--epochs", "5"], "fewer than the 5"),
        (["--ema", "1"], "from 0 to 0.99999, not 1"),
        (["--patience", "0"], "at least 1, not 0"),
        (["--augmentation_strength", "nan"], "must be a number, not 'nan'"),
    ],
)
def test_contradictory_options_are_refused(flags, said):
    with pytest.raises(UsageError, match=said):
        check_options(options(*flags))
