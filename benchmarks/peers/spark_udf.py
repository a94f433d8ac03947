"""Spark: binary files and an iterator pandas_udf that loads the model once, as guides show."""

import io
import os
import sys
from collections.abc import Iterator

import numpy as np
import pandas as pd
from PIL import Image
from pyspark.sql import SparkSession
from pyspark.sql.functions import col, pandas_udf


def decode(content):
    """A picture from its bytes."""
    image = Image.open(io.BytesIO(content)).convert("RGB").resize((64, 64))
    return np.asarray(image, np.float32)


def main(chips, model, output):
    """Score a folder."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    spark = (
        SparkSession.builder.master("local[*]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", 256)
        .getOrCreate()
    )

    @pandas_udf("array<float>")
    def score(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        import keras

        loaded = keras.models.load_model(model, compile=False)
        for contents in batches:
            pixels = np.stack([decode(content) for content in contents])
            yield pd.Series(list(loaded.predict_on_batch(pixels)))

    files = spark.read.format("binaryFile").option("pathGlobFilter", "*.jpg").load(chips)
    scored = files.select("path", score(col("content")).alias("scores"))
    scored.write.mode("overwrite").parquet(output)
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
