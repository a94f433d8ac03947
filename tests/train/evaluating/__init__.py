"""Tests of `train.evaluating`."""
