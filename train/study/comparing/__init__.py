"""The models of a study side by side, and sentences made from their figures."""
