"""Chips inside tar files: their members, and an index that is stored between nights."""
