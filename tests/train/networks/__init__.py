"""Tests of `train.networks`."""
