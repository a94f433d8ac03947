"""One test module per source module, in the same folders; `whole/` for whole commands."""
