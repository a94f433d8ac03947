"""The chips that a run has left to score: archive or manifest, sidecar, and what is done."""
