"""Batches of pixels to batches of scores and labels: one model per process."""
