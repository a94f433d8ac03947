"""Changes to what is published: withdraw, relabel, compact, remove old rows."""
