"""Flags, workers, GPUs and checks for runs on Google Cloud Dataflow."""
