"""What a training leaves behind: the model artifact, its card and its STAC item."""
