"""The last step of a run: staged units become a published run, all of it or nothing."""
