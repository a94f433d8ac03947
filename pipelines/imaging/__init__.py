"""From a chip's bytes to pixels and a place; one code path for training and scoring."""
