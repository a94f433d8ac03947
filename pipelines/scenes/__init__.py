"""Scenes: large GeoTIFFs whose windows are chips, read block by block and never cut into files."""
