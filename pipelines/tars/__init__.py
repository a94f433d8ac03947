"""Chips inside tar files: their members, and an index of them kept between nights."""
