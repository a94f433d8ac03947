"""The brief: one page about what has changed on the ground, for people who only read it."""
