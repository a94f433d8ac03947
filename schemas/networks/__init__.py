"""A network in a file from anywhere, read without the library that would run it."""
