"""The comparison and the sentences made from it, on figures small enough to check by hand."""

from __future__ import annotations

import pytest

from pipelines.errors import UsageError
from schemas.labels import PLANET_LABELS, LabelSet
from train.networks.backbones import BACKBONES
from train.study.comparing.comparison import (
    choose_best,
    compare_labels,
    compare_models,
    compare_thresholds,
    compared_part,
    frequent_micro_f1,
    is_rare,
)
from train.study.comparing.findings import (
    describe_example,
    describe_findings,
    describe_lead,
    describe_variants,
)
from train.study.comparing.published import compare_with_published, read_published
from train.study.models.plan import MODELS, choose_models, label_to_upsample, take_share


def figures(f1: dict[str, float | None], positives: int = 10) -> dict:
    """A model's figures: at the threshold each label's F1 as given, its best F1 0.05 higher."""
    known = [value for value in f1.values() if value is not None]
    macro = sum(known) / len(known)
    return {
        "chips": 40,
        "mean_average_precision": macro,
        "mean_best_f1": macro + 0.05,
        "at_threshold": {"macro_f1": macro},
        "at_half": {"macro_f1": macro / 2},
        "labels": {
            label: {
                "positives": positives,
                "threshold": 0.3,
                "best": {"threshold": 0.2, "f1": None if value is None else value + 0.05},
                "at_threshold": {"f1": value, "precision": None, "recall": 0.5, "predicted": 4},
                "at_half": {"recall": 0.2, "predicted": 2},
            }
            for label, value in f1.items()
        },
        "intervals": {"at_threshold": {"macro_f1": [macro - 0.1, macro + 0.1]}},
    }


def model(validation: dict, test: dict | None = None, network: str | None = "cnn", **more) -> dict:
    parts = {"validation": figures(validation)}
    parts |= {"test": figures(test)} if test else {}
    titled = {"title": more.pop("title", "A model"), "idea": "", "network": network}
    return titled | {"labels": list(validation), "figures": parts} | more


CNN = model({"clear": 0.8, "mine": 0.2}, {"clear": 0.7, "mine": 0.1}, title="Baseline CNN")
VGG = model({"clear": 0.9, "mine": 0.4}, {"clear": 0.8, "mine": 0.4}, "vgg16", title="VGG16")
SKY = model({"clear": 0.95}, {"clear": 0.9}, "cnn_sky", title="CNN, sky alone")


def test_the_best_model_is_chosen_on_validation_and_not_on_test():
    late = model({"clear": 0.5, "mine": 0.5}, {"clear": 1.0, "mine": 1.0})
    assert choose_best({"cnn": CNN, "vgg16": VGG, "late": late}) == "vgg16"


def test_a_model_with_fewer_labels_and_the_forest_are_never_the_best():
    forest = {**VGG, "network": None}
    assert choose_best({"cnn": CNN, "cnn_sky": SKY, "forest": forest}) == "cnn"
    assert choose_best({"forest": forest}) is None


def test_every_model_is_in_the_comparison_with_its_own_means():
    rows = compare_models({"cnn": CNN, "vgg16": VGG, "cnn_sky": SKY})
    assert [row["name"] for row in rows] == ["cnn", "vgg16", "cnn_sky"]
    assert [row["f1"] for row in rows] == pytest.approx([0.4, 0.6, 0.9])
    assert [row["labels"] for row in rows] == [2, 2, 1]
    assert rows[1]["f1_at_half"] == pytest.approx(0.3)
    assert rows[1]["f1_interval"] == pytest.approx([0.5, 0.7])
    assert rows[1]["best_f1"] == pytest.approx(0.65)


def test_micro_f1_pools_the_labels_with_enough_positives():
    # of each label 5 of 10 positives are found by 4 or 2 decisions; 2 * hits / (decisions + 10)
    assert frequent_micro_f1(CNN, "test") == pytest.approx(2 * 10 / 28)
    assert frequent_micro_f1(CNN, "test", "at_half") == pytest.approx(2 * 4 / 24)
    assert frequent_micro_f1({**CNN, "figures": {"test": figures({"a": 1.0}, 4)}}, "test") is None


def test_without_a_test_part_validation_is_judged():
    assert compared_part({"cnn": CNN}) == "test"
    assert compared_part({"a": model({"clear": 1.0})}) == "validation"


def test_each_label_has_the_thresholds_of_the_networks_that_score_it():
    rows = {row["label"]: row["networks"] for row in compare_thresholds({"cnn": CNN, "s": SKY})}
    assert rows["clear"]["s"] == {
        "best_threshold": 0.2,
        "best_f1": pytest.approx(1.0),
        "threshold": 0.3,
        "f1": 0.9,
    }
    assert set(rows["mine"]) == {"cnn"}


def test_common_and_rare_labels_are_compared_separately():
    compared = compare_labels(VGG, CNN, "test", {"clear": 900, "mine": 9}, 1000)
    assert [row["is_rare"] for row in compared["rows"]] == [False, True]
    assert compared["common"] == {"labels": 1, "first_f1": 0.8, "second_f1": 0.7}
    assert compared["rare"] == {"labels": 1, "first_f1": 0.4, "second_f1": 0.1}
    assert compared["all"]["first_f1"] == pytest.approx(0.6)
    assert describe_lead("VGG16", "CNN", compared) == (
        "VGG16 compared with CNN, by mean F1: over all labels ahead by 0.200 (0.600 and 0.400) "
        "over 2 labels; over common ones ahead by 0.100 (0.800 and 0.700) over 1 label; over rare "
        "ones ahead by 0.300 (0.400 and 0.100) over 1 label."
    )


def test_a_label_without_positives_in_the_judged_part_is_in_no_mean():
    first = model({"clear": 0.8, "mine": None})
    compared = compare_labels(first, first, "validation", {"clear": 90, "mine": 90}, 100)
    assert compared["all"]["labels"] == 1
    assert compared["rows"][1]["first_f1"] is None


@pytest.mark.parametrize(
    ("positives", "chips", "rare"),
    [(9, 1000, True), (10, 1000, False), (4, 100, True), (5, 100, False)],
)
def test_a_label_is_rare_below_a_hundredth_of_the_chips_or_below_five(positives, chips, rare):
    assert is_rare(positives, chips) is rare


def test_findings_name_labels_by_how_well_they_are_found():
    models = {"cnn": CNN, "vgg16": VGG}
    comparison = {"best": "vgg16", "part": "test", "vgg16_vs_cnn": None}
    found = describe_findings({"models": models, "comparison": comparison})
    assert found[0] == (
        "VGG16 is the best network by validation. On 40 test chips, which no model has seen, its "
        "mean F1 over the labels that occur there is 0.600 (with other chips like these, 0.50 to "
        "0.70)."
    )
    assert found[1] == "Mean F1, step by step: Baseline CNN 0.400, VGG16 0.600."
    assert "Well found (F1 of 0.8 and more): clear (0.80)." in found
    assert "Hardly found (F1 below 0.5): mine (0.40)." in found
    assert found[-1].endswith("gains compared with 0.5 for all: 0.600, not 0.300.")


def test_an_example_explains_precision_and_recall_in_chips():
    found = model({"road": 0.6, "water": 0.9, "mine": 0.2})
    for row in found["figures"]["validation"]["labels"].values():
        row["at_threshold"] |= {"precision": 0.514, "recall": 0.75}
    assert describe_example(found, "validation") == (
        "For example road: of 100 chips that it reports, 51 carry the label, and of 100 that carry "
        "it, it reports 75 (F1 0.60)."
    )


def test_a_variant_is_compared_over_the_labels_that_it_shares_with_the_baseline():
    assert describe_variants({"cnn": CNN, "cnn_sky": SKY}, "test") == [
        "CNN, sky alone: ahead by 0.200 (0.900 and 0.700) over 1 label."
    ]


def test_models_are_chosen_by_name_in_the_order_of_the_study():
    assert [m.name for m in choose_models("vgg16, cnn", True)] == ["cnn", "vgg16"]
    assert [m.name for m in choose_models("all", True)] == [n for n in MODELS if n not in BACKBONES]
    named = [m.name for m in choose_models("resnet50v2,vgg16", True)]
    assert named == ["vgg16", "resnet50v2"]
    assert "cnn_sky" not in [m.name for m in choose_models("all", False)]


@pytest.mark.parametrize(
    ("asked", "has_sky", "said"),
    [("cnn,resnet", True, "'resnet'"), (" , ", True, "none named"), ("cnn_sky", False, "sky")],
)
def test_models_that_cannot_be_trained_are_refused_by_name(asked, has_sky, said):
    with pytest.raises(UsageError, match=said):
        choose_models(asked, has_sky)


def test_the_rare_label_of_the_study_is_repeated_or_the_rarest_that_occurs():
    assert label_to_upsample({"clear": 9, "blow_down": 4, "mine": 1}) == "blow_down"
    assert label_to_upsample({"clear": 9, "blow_down": 0, "mine": 1}) == "mine"
    assert label_to_upsample({"clear": 0}) is None


def test_a_share_is_random_and_keeps_the_order():
    names = [f"c{i:03}" for i in range(100)]
    drawn = take_share(names, 0.1, seed=0)
    assert len(drawn) == 10
    assert list(drawn) == sorted(drawn)
    assert drawn == take_share(names, 0.1, seed=0) != take_share(names, 0.1, seed=1)
    assert len(take_share(names[:3], 0.1, seed=0)) == 1


def published_csv(folder, row: str = "clear,0.88,0.54,0.946,0.69,0.964") -> str:
    path = folder / "published.csv"
    head = "label,forest_f1,cnn_threshold,cnn_f1,vgg16_threshold,vgg16_f1"
    path.write_text(f"{head}\n{row}\n")
    return str(path)


def test_published_figures_are_next_to_ours_with_a_note_on_the_data(tmp_path):
    by_label = read_published(published_csv(tmp_path))
    chips = {"train": 60, "validation": 20, "test": 40}
    compared = compare_with_published({"cnn": CNN}, "test", PLANET_LABELS, chips, by_label)
    assert compared["means"] == [
        {
            "name": "cnn",
            "title": "Baseline CNN",
            "published": 0.475,
            "best_here": pytest.approx(0.45),
            "here": pytest.approx(0.4),
        }
    ]
    row = compared["labels"][0]
    assert row["label"] == "clear"
    assert (row["published"]["cnn"], row["here"]["cnn"]) == (0.946, 0.7)
    assert (row["published_threshold"]["cnn"], row["best_threshold"]["cnn"]) == (0.54, 0.2)
    assert "far fewer chips" in compared["statement"]
    whole = {"train": 25_000, "validation": 9_000, "test": 6_000}
    assert (
        "fewer" not in compare_with_published({}, "test", PLANET_LABELS, whole, None)["statement"]
    )


def test_other_labels_are_not_compared_with_the_published_ones():
    assert (
        compare_with_published({"cnn": CNN}, "test", LabelSet(("clear", "mine")), {}, None) is None
    )


@pytest.mark.parametrize("row", ["clear,0.88,0.54,0.946,0.69,much", "clear,0.88,0.54,0.946,0.69,7"])
def test_published_figures_that_are_not_fractions_are_refused(tmp_path, row):
    with pytest.raises(UsageError, match="vgg16_f1 of 'clear'"):
        read_published(published_csv(tmp_path, row))


def test_a_published_csv_without_its_columns_is_refused(tmp_path):
    (tmp_path / "p.csv").write_text("label,f1\nclear,0.5\n")
    with pytest.raises(UsageError, match="needs rows with the columns"):
        read_published(str(tmp_path / "p.csv"))
