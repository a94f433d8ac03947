"""A season in a bottle: every crash point, every order of commits, a year of nights by a seed."""
