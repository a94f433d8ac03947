"""Tests of `train.filters`."""
