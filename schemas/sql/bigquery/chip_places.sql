-- Table chip_places, version 1. Written by: python -m schemas.render
CREATE TABLE chip_places (
  footprint BYTES NOT NULL OPTIONS (description = "geometry of chip_scores, byte by byte. Unit: degrees."),
  place_id STRING OPTIONS (description = "An H3 cell, by its name; null if the footprint has too many cells: its chips are places of their own.")
)
OPTIONS (description = "The places of each footprint of a chip, one row per footprint and place: the cells whose centre is in the footprint; if there is none, the cell of its own centre.");
