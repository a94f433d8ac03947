"""Units of the manifest to batches of pixels, read and decoded ahead of the model."""
