"""Daft: its own download and image expressions, and a class of user-defined functions."""

import sys

import daft
import numpy as np
from daft import DataType, Series, col


@daft.cls
class Classifier:
    """The model, loaded once."""

    def __init__(self, model: str):
        import keras

        self.model = keras.models.load_model(model, compile=False)

    @daft.method.batch(return_dtype=DataType.list(DataType.float32()), batch_size=256)
    def score(self, images: Series):
        """Scores for a batch of pictures."""
        pixels = np.stack(images.to_pylist()).astype(np.float32)
        return self.model.predict_on_batch(pixels)


def main(chips, model, output):
    """Score a folder."""
    classifier = Classifier(model)
    (
        daft.from_glob_path(f"{chips}/*.jpg")
        .with_column("image", col("path").download().decode_image(mode="RGB").resize(64, 64))
        .with_column("scores", classifier.score(col("image")))
        .select("path", "scores")
        .write_parquet(output)
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
