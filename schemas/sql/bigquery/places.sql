-- Table places, version 1. Written by: python -m schemas.render
CREATE TABLE places (
  place_id STRING NOT NULL OPTIONS (description = "An H3 cell, by its name, such as 8928308280fffff."),
  geometry BYTES NOT NULL OPTIONS (description = "Outline of the cell (WGS 84, longitude first): a polygon, counter-clockwise; a multipolygon if it is cut at the 180th meridian. Unit: degrees."),
  bbox STRUCT<xmin FLOAT64, ymin FLOAT64, xmax FLOAT64, ymax FLOAT64> NOT NULL OPTIONS (description = "Bounding box of geometry; null without one. xmin is greater than xmax if it crosses the 180th meridian. Unit: degrees."),
  latitude FLOAT64 NOT NULL OPTIONS (description = "Of the cell's centre (WGS 84). Unit: degrees."),
  longitude FLOAT64 NOT NULL OPTIONS (description = "Of the cell's centre (WGS 84). Unit: degrees."),
  h3_resolution INT64 NOT NULL OPTIONS (description = "The same in all rows. Unit: level, 0 to 15.")
)
OPTIONS (description = "The places that chips show, one row each: H3 cells.");
