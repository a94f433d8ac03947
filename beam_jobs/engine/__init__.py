"""The engine that a graph runs on: started, watched, interrupted, and its log made readable."""
