"""Tests of `train.study.comparing`."""
