"""Tests of `train.sample`."""
