"""`python -m train compare`: several artifacts measured on the same chips."""
