"""The plain script: tf.data reads and decodes, model.predict scores, pandas writes."""

import sys
from glob import glob

import keras
import pandas as pd
import tensorflow as tf


def decode(path):
    """A picture from its file, as the guide to tf.data has it."""
    return tf.image.resize(tf.io.decode_jpeg(tf.io.read_file(path), channels=3), (64, 64))


def main(chips, model, output):
    """Score a folder."""
    paths = sorted(glob(f"{chips}/*.jpg"))
    pictures = (
        tf.data.Dataset.from_tensor_slices(paths)
        .map(decode, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(256)
        .prefetch(tf.data.AUTOTUNE)
    )
    scores = keras.models.load_model(model, compile=False).predict(pictures, verbose=0)
    table = pd.DataFrame({"path": paths, "scores": list(scores)})
    table.to_parquet(f"{output}/scores.parquet")


if __name__ == "__main__":
    main(*sys.argv[1:])
