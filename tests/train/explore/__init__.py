"""Tests of `train.explore`."""
