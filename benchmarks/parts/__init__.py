"""What runs in a process of its own, so that nothing of one measurement is left for the next."""
