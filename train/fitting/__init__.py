"""Fitting a network: the training loop, losses, augmentation, schedules, checkpoints."""
