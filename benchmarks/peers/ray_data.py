"""Ray Data: read_images and map_batches with a class that holds the model, as its guide shows."""

import sys

import numpy as np
import ray


class Classifier:
    """The model, loaded once in each actor."""

    def __init__(self, model):
        import keras

        self.model = keras.models.load_model(model, compile=False)

    def __call__(self, batch):
        """Scores for a batch of pictures."""
        scores = self.model.predict_on_batch(batch["image"].astype(np.float32))
        return {"path": batch["path"], "scores": scores}


def main(chips, model, output):
    """Score a folder."""
    ray.init(include_dashboard=False, log_to_driver=False)
    (
        ray.data.read_images(chips, size=(64, 64), mode="RGB", include_paths=True)
        .map_batches(
            Classifier,
            fn_constructor_args=(model,),
            batch_size=256,
            compute=ray.data.ActorPoolStrategy(size=1),
        )
        .write_parquet(output)
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
