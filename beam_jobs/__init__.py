"""The commands that an operator runs, one module a job."""
