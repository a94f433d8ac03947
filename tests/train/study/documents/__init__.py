"""Tests of `train.study.documents`."""
