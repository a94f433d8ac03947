"""Labelled chips: label and split files, decoded pixels, the pixel cache, the parts of a split."""
