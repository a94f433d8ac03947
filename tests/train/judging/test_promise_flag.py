"""`--promise`: what it takes, and which labels it is for."""

import argparse

import numpy as np
import pytest

from pipelines.errors import UsageError
from schemas.labels import LabelSet
from train.judging.promise_flag import describe_outlook, parse_promise, read_promises
from train.options import parse_train_options

LABELS = LabelSet(("road", "water", "clear", "cloudy"), sky=("clear", "cloudy"))
NEEDED = ["--artifact", "a", "--chips", "c"]


def read(*texts: str, label_set: LabelSet = LABELS) -> dict[str, float]:
    return read_promises([parse_promise(text) for text in texts], label_set)


def test_all_ground_labels_or_single_ones_may_be_promised_and_a_labels_own_value_wins():
    assert read("precision=0.9") == {"road": 0.9, "water": 0.9}
    assert read("water=0.8") == {"water": 0.8}
    assert read("water=0.8", "precision=0.9") == {"road": 0.9, "water": 0.8}
    assert read() == {}
    assert read("a=b=0.5", label_set=LabelSet(("a=b",))) == {"a=b": 0.5}
    given = parse_train_options([*NEEDED, "--promise", "road=0.8", "--promise", "precision=0.9"])
    assert read_promises(given.promise, LABELS) == {"road": 0.8, "water": 0.9}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["cloudy=0.9"], "'cloudy' is a sky label; a promise is for ground labels: road, water"),
        (["roads=0.9"], "there is no label 'roads', only road, water"),
        (["road=0.9", "road=0.8"], "named twice: road"),
        (["precision=0.9", "precision=0.9"], "named twice: precision"),
    ],
)
def test_other_labels_are_refused(texts, message):
    with pytest.raises(UsageError, match=f"^--promise: {message}"):
        read(*texts)


def test_a_label_set_of_the_sky_alone_has_nothing_to_promise():
    with pytest.raises(UsageError, match="all labels are of the sky"):
        read("precision=0.9", label_set=LabelSet(LABELS.sky, LABELS.sky))


@pytest.mark.parametrize("text", ["0.9", "=0.9", "road", "road=", "road=x", "road=0", "road=1"])
def test_another_form_and_a_number_that_cannot_be_promised_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError):
        parse_promise(text)
    with pytest.raises(UsageError, match="--promise"):
        parse_train_options([*NEEDED, "--promise", text])


@pytest.mark.parametrize("number", ["90", "1.5", "0", "-0.1"])
def test_a_number_outside_0_and_1_is_told_the_range_and_how_90_percent_is_written(number):
    message = f"must be between 0 and 1, such as 0.9 for 90 %, not {number}"
    with pytest.raises(argparse.ArgumentTypeError, match=f"^{message}$"):
        parse_promise(f"precision={number}")
    with pytest.raises(UsageError, match=message):
        parse_train_options([*NEEDED, "--promise", f"road={number}"])


def test_before_training_labels_with_too_few_chips_are_named_and_none_with_enough_is_refused():
    truth = np.zeros((200, 4), np.uint8)
    truth[:40, 0], truth[:28, 1] = 1, 1
    line = describe_outlook({"road": 0.9, "water": 0.9}, truth, LABELS.names)
    assert line is not None
    assert line.endswith("never be reported: water (28 of 36 for 0.9)")
    assert describe_outlook({"road": 0.9, "water": 0.8}, truth, LABELS.names) is None
    assert describe_outlook({}, truth, LABELS.names) is None
    with pytest.raises(UsageError, match=r"water \(28 of 36 for 0\.9\); give more labelled chips"):
        describe_outlook({"water": 0.9}, truth, LABELS.names)
