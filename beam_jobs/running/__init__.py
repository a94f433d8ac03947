"""One run from chosen chips to published tables, for every command that scores."""
