"""What a run would take, and what it would cost: `score_chips --estimate`."""
