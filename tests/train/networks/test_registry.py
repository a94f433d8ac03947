"""The networks are the study's, parameter for parameter, and are saved the same each time."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pipelines.errors import UsageError
from schemas.artifact import BANDS, Preprocessing
from schemas.artifact_files import model_digest
from schemas.labels import LabelSet
from schemas.precision import native_bfloat16
from train.data.examples import Examples
from train.fitting.epochs import FitOptions
from train.fitting.fit import (
    choose_precision,
    default_batch_size,
    fit_network,
    loss_of,
    precision_policy,
)
from train.fitting.sampling import Imbalance
from train.networks.registry import (
    INPUT_NORMALISATION,
    NETWORKS,
    channel_statistics,
    set_input_statistics,
    with_pooling,
)

VGG16, CNN, MEAN_COLOUR = NETWORKS["vgg16"], NETWORKS["cnn"], NETWORKS["mean_colour"]


@pytest.fixture(scope="module")
def vgg16():
    return VGG16.build((64, 64, 3), 17)


def keras_model_up_to(model, layer: str):
    import keras

    return keras.Model(model.inputs[0], model.get_layer(layer).output)


def count(weights) -> int:
    return sum(int(np.prod(weight.shape)) for weight in weights)


def test_vgg16_has_14_749_533_parameters_of_which_6_are_not_trainable(vgg16):
    assert vgg16.count_params() == 14_749_533
    assert count(vgg16.non_trainable_weights) == 6


def test_vgg16_is_batch_normalisation_then_vgg16_then_flatten_then_dense(vgg16):
    kinds = [type(layer).__name__ for layer in vgg16.layers]
    blocks = [kind for n in (2, 2, 3, 3, 3) for kind in [*["Conv2D"] * n, "MaxPooling2D"]]
    assert kinds == ["InputLayer", "BatchNormalization", *blocks, "Flatten", "Dense"]
    assert vgg16.output_shape == (None, 17)


def test_cnn_has_995_761_parameters_all_of_them_trainable():
    model = CNN.build((64, 64, 3), 17)
    assert model.count_params() == count(model.trainable_weights) == 995_761


def test_cnn_has_the_layers_of_the_study():
    layers = CNN.build((64, 64, 3), 17).layers
    assert [type(layer).__name__ for layer in layers] == [
        *("InputLayer", "Rescaling", "Conv2D", "Conv2D", "MaxPooling2D", "Conv2D"),
        *("Dropout", "Flatten", "Dense", "Dropout", "Dense"),
    ]
    kernels = [tuple(layer.kernel.shape) for layer in layers if layer.weights]
    assert kernels[:3] == [(8, 8, 3, 32), (8, 8, 32, 64), (3, 3, 64, 64)]
    assert kernels[3:] == [(6400, 128), (128, 17)]
    assert [layer.rate for layer in layers if type(layer).__name__ == "Dropout"] == [0.5, 0.5]


def test_cnn_takes_pixels_of_0_to_255_and_distinguishes_white_from_black():
    import keras

    keras.utils.set_random_seed(0)
    model = CNN.build((32, 32, 3), 5)
    pixels = np.stack([np.zeros((32, 32, 3)), np.full((32, 32, 3), 255)]).astype(np.float32)
    black, white = model(pixels, training=False).numpy()
    np.testing.assert_allclose(black, 0.5)  # biases start at 0
    assert (np.abs(white - 0.5) > 1e-4).all()
    assert (np.abs(white - 0.5) < 0.4).all()  # unscaled, 255 would drive scores to 0 and 1


def test_a_fourth_band_widens_only_the_first_convolution():
    bands = {
        name: NETWORKS[name].build((64, 64, 4), 17).count_params() for name in ("vgg16", "cnn")
    }
    assert bands == {"vgg16": 14_749_533 + 9 * 64 + 4, "cnn": 995_761 + 64 * 32}


@pytest.mark.parametrize(
    ("name", "side", "flattened"),
    [("vgg16", 64, True), ("vgg16", 65, False), ("cnn", 128, True), ("cnn", 129, False)],
)
def test_large_inputs_are_averaged_instead_of_flattened(name, side, flattened):
    layers = [layer.name for layer in NETWORKS[name].build((side, side, 3), 17).layers]
    assert ("flatten" in layers, "average" in layers) == (flattened, not flattened)


@pytest.mark.parametrize(
    ("name", "pooling", "side", "parameters"),
    [
        ("vgg16", None, 224, 14_723_421),
        ("vgg16", "average", 64, 14_723_421),
        ("vgg16", "flatten", 224, 15_141_213),
        ("cnn", None, 224, 184_753),
        ("cnn", "average", 64, 184_753),
        ("cnn", "flatten", 224, 20_656_561),
    ],
)
def test_averaged_networks_have_as_many_parameters_at_any_side(name, pooling, side, parameters):
    network = with_pooling(NETWORKS[name], pooling)
    assert network.build((side, side, 3), 17).count_params() == parameters


def test_mean_colour_has_no_pooling_to_choose():
    with pytest.raises(UsageError, match="--pooling average: mean_colour"):
        with_pooling(MEAN_COLOUR, "average")


def test_cnn_batch_norm_normalises_the_128_values_after_the_first_dense_layer():
    model = NETWORKS["cnn_batch_norm"].build((64, 64, 3), 17)
    names = [layer.name for layer in model.layers]
    assert names[names.index("dense") + 1] == "batch_norm"
    assert model.count_params() == 995_761 + 4 * 128


def test_scores_of_cnn_sky_sum_to_1():
    model = NETWORKS["cnn_sky"].build((32, 32, 3), 4)
    pixels = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(model(pixels, training=False).numpy().sum(axis=1), 1, atol=1e-6)


def test_cnn_grey_uses_the_same_luminance_as_pillow():
    model = NETWORKS["cnn_grey"].build((32, 32, 3), 2)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    seen = keras_model_up_to(model, "luminance")(pixels[None].astype(np.float32)).numpy()
    expected = np.array(Image.fromarray(pixels).convert("L"))  # Pillow's "L" is BT.601
    assert np.abs(seen[0, :, :, 0] * 255 - expected).max() <= 1
    assert count(model.non_trainable_weights) == 3
    assert NETWORKS["cnn_grey"].build((128, 128, 3), 17).count_params() == 5_710_260


def test_cnn_grey_learns_nothing_about_luminance_and_keeps_it_in_a_saved_model(tmp_path):
    import keras

    options = FitOptions(epochs=1, batch_size=8, learning_rate=0.1, precision="float32", seed=0)
    fit = fit_network(NETWORKS["cnn_grey"], examples(8, 0, 26), examples(8, 1, 26), options)
    fit.model.save(tmp_path / "model.keras")
    saved = keras.models.load_model(tmp_path / "model.keras")
    for model in (fit.model, saved):
        kernel = model.get_layer("luminance").get_weights()[0]
        np.testing.assert_allclose(kernel.ravel(), [0.299, 0.587, 0.114], rtol=1e-6)


def test_softmax_scores_are_fitted_with_categorical_cross_entropy():
    losses = {name: loss_of(network, Imbalance()) for name, network in NETWORKS.items()}
    assert losses.pop("cnn_sky") == "categorical"
    assert set(losses.values()) == {"bce"}


@pytest.mark.parametrize("name", ["vgg16", "cnn"])
def test_a_network_can_be_built_at_its_smallest_side_and_no_smaller(name):
    network = NETWORKS[name]
    side = network.min_image_size
    assert network.build((side, side, 3), 2).output_shape == (None, 2)
    with pytest.raises(ValueError, match=r"."):
        network.build((side - 1, side - 1, 3), 2)


def test_mean_colour_is_one_dense_layer_on_the_mean_of_each_band():
    model = MEAN_COLOUR.build((64, 64, 4), 17)
    assert model.count_params() == 4 * 17 + 17


def test_the_last_layer_computes_in_float32_and_weights_are_float32_under_bfloat16():
    with precision_policy("bfloat16"):
        model = VGG16.build((32, 32, 3), 2)
    assert model.get_layer("block1_conv1").compute_dtype == "bfloat16"
    assert model.get_layer("scores").compute_dtype == "float32"
    assert {str(weight.dtype) for weight in model.weights} == {"float32"}
    assert VGG16.build((32, 32, 3), 2).get_layer("block1_conv1").compute_dtype == "float32"


def test_the_same_weights_have_the_same_digest_however_many_models_were_built_before(tmp_path):
    preprocessing = Preprocessing("jpg", 32, BANDS["jpg"], None, (32, 1024))
    labels = LabelSet(("a", "b", "c"))
    digests = []
    for i in range(2):
        MEAN_COLOUR.build((8, 8, 3), 3)
        model = VGG16.build((32, 32, 3), 3)
        if i == 0:
            weights = model.get_weights()
        model.set_weights(weights)
        model.save(tmp_path / "model.keras")
        digests.append(model_digest(tmp_path / "model.keras", labels, preprocessing))
    assert digests[0] == digests[1]


def test_channel_statistics_are_exact():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 7, 4), dtype=np.uint8)
    mean, variance = channel_statistics(pixels)
    np.testing.assert_allclose(mean, pixels.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(variance, pixels.var(axis=(0, 1, 2)), rtol=1e-12)


def test_the_input_normalisation_starts_from_the_training_pixels(vgg16):
    pixels = np.random.default_rng(0).integers(50, 90, (4, 64, 64, 3), dtype=np.uint8)
    set_input_statistics(vgg16, pixels)
    normalised = vgg16.get_layer(INPUT_NORMALISATION)(pixels.astype(np.float32), training=False)
    np.testing.assert_allclose(np.mean(normalised, axis=(0, 1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(np.std(normalised, axis=(0, 1, 2)), 1, atol=1e-2)


@pytest.mark.parametrize(
    ("chips", "batch"),
    [(1, 8), (74, 8), (127, 8), (128, 16), (800, 64), (1285, 128), (32_000, 128)],
)
def test_the_default_batch_size_leaves_eight_steps_per_epoch_if_possible(chips, batch):
    assert default_batch_size(chips, VGG16) == batch


def test_cnn_trains_in_the_study_s_batches_of_256_if_there_are_enough_chips():
    assert default_batch_size(20_000, CNN) == 256
    assert default_batch_size(800, CNN) == 64


def test_auto_precision_is_bfloat16_only_if_it_is_native_and_the_network_gains():
    assert choose_precision("auto", VGG16) == ("bfloat16" if native_bfloat16() else "float32")
    assert choose_precision("auto", MEAN_COLOUR) == "float32"
    assert choose_precision("float32", VGG16) == "float32"
    assert choose_precision("bfloat16", VGG16) == "bfloat16"


def examples(count: int, seed: int, side: int = 8) -> Examples:
    """Chips of one grey each; bright ones have the first label, dark ones the second."""
    greys = np.random.default_rng(seed).integers(0, 256, count)
    pixels = np.broadcast_to(greys[:, None, None, None], (count, side, side, 3)).astype(np.uint8)
    truth = np.stack([greys > 128, greys <= 128], axis=1).astype(np.uint8)
    return Examples(tuple(f"c{i}" for i in range(count)), pixels, truth)


def test_fitting_learns_and_returns_the_best_epoch_as_an_uncompiled_model(capsys):
    from train.judging.measuring import predict_scores

    options = FitOptions(epochs=12, batch_size=8, learning_rate=0.5, precision="float32", seed=3)
    train, validation = examples(64, seed=0), examples(32, seed=1)
    fit = fit_network(MEAN_COLOUR, train, validation, options)
    assert not fit.model.compiled
    assert fit.history["val_loss"][fit.best_epoch - 1] == min(fit.history["val_loss"])
    scores = predict_scores(fit.model, validation.pixels)
    assert ((scores > 0.5) == validation.truth).mean() > 0.9
    likelihood = np.where(validation.truth, scores, 1 - scores)
    assert -np.log(likelihood).mean() == pytest.approx(min(fit.history["val_loss"]), abs=1e-5)
    assert "Epoch 1/12" in capsys.readouterr().out


def test_fitting_ends_five_epochs_after_the_best_one():
    options = FitOptions(epochs=60, batch_size=8, learning_rate=5.0, precision="float32", seed=0)
    noise = examples(16, seed=1)
    noise = Examples(noise.names, noise.pixels, noise.truth[::-1].copy())
    fit = fit_network(MEAN_COLOUR, examples(16, seed=0), noise, options)
    assert len(fit.history["loss"]) == fit.best_epoch + 5


def test_the_same_seed_gives_the_same_model():
    options = FitOptions(epochs=2, batch_size=8, learning_rate=0.1, precision="float32", seed=7)
    first, second = (
        fit_network(MEAN_COLOUR, examples(32, 0), examples(8, 1), options).model.get_weights()
        for _ in range(2)
    )
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_label_set_of_one_label_can_be_fitted():
    train = examples(16, 0)
    one = Examples(train.names, train.pixels, train.truth[:, :1])
    options = FitOptions(epochs=1, batch_size=8, learning_rate=0.1, precision="float32", seed=0)
    assert fit_network(MEAN_COLOUR, one, one, options).model.output_shape == (None, 1)
