"""`python -m train filters`: pictures of what excites a network's filters."""
