"""What is left to do: the archive or manifest, the sidecar, and the join with what is done."""
