"""How a night compares with the nights before it, and the verdict on it."""
