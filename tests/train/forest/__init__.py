"""Tests of `train.forest`."""
