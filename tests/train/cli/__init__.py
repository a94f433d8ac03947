"""Tests of `train.cli`."""
