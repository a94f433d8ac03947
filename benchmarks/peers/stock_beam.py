"""Beam's own RunInference with its TensorFlow handler, as Beam's guide to it shows."""

import io
import sys

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow as tf
from apache_beam.io.fileio import MatchFiles, ReadMatches
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference
from apache_beam.ml.inference.tensorflow_inference import TFModelHandlerTensor
from PIL import Image


def decode(file):
    """A keyed tensor from a file."""
    image = Image.open(io.BytesIO(file.read())).convert("RGB").resize((64, 64))
    return file.metadata.path, tf.convert_to_tensor(np.asarray(image, np.float32))


def to_row(result):
    """A dictionary from a keyed prediction."""
    path, prediction = result
    return {"path": path, "scores": prediction.inference.numpy().tolist()}


def main(chips, model, output):
    """Score a folder."""
    handler = KeyedModelHandler(TFModelHandlerTensor(model_uri=model))
    schema = pa.schema([("path", pa.string()), ("scores", pa.list_(pa.float32()))])
    with beam.Pipeline() as pipeline:
        _ = (
            pipeline
            | MatchFiles(f"{chips}/*.jpg")
            | ReadMatches()
            | beam.Map(decode)
            | RunInference(handler)
            | beam.Map(to_row)
            | beam.io.WriteToParquet(f"{output}/scores", schema, file_name_suffix=".parquet")
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
