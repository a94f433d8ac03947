"""Places: the H3 cells that footprints of chips cover, and the looks at them."""
