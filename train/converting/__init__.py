"""A trained network for other engines than Keras."""
