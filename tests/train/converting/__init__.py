"""Tests of `train.converting`."""
