-- Table alert_areas, version 1. Written by: python -m schemas.render
CREATE TABLE alert_areas (
  name STRING NOT NULL OPTIONS (description = "The area's name."),
  geometry BYTES NOT NULL OPTIONS (description = "The area (WGS 84, longitude first): polygon or multipolygon, counter-clockwise, cut at the 180th meridian. Unit: degrees."),
  bbox STRUCT<xmin FLOAT64, ymin FLOAT64, xmax FLOAT64, ymax FLOAT64> NOT NULL OPTIONS (description = "Bounding box of geometry; null without one. xmin is greater than xmax if it crosses the 180th meridian. Unit: degrees.")
)
OPTIONS (description = "The areas that alerts and sites name, such as parks, territories and districts.");
