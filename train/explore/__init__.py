"""`python -m train explore`: what the labels and chips look like before any model."""
