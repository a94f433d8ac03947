-- Table sites, version 1. Written by: python -m schemas.render
CREATE TABLE sites (
  site_id STRING NOT NULL OPTIONS (description = "alert_id of its earliest alert; when sites grow together, the older id stays."),
  label STRING NOT NULL OPTIONS (description = "What was seen."),
  status STRING NOT NULL OPTIONS (description = "high if one of its alerts is; else low if one is; else ended."),
  first_detected TIMESTAMP NOT NULL OPTIONS (description = "The first look that showed it. Unit: UTC."),
  last_seen TIMESTAMP NOT NULL OPTIONS (description = "The last look that showed it. Unit: UTC."),
  alerts INT64 NOT NULL OPTIONS (description = "Its alerts. Unit: alerts."),
  cells INT64 NOT NULL OPTIONS (description = "Its places. Unit: places."),
  area_ha FLOAT64 OPTIONS (description = "Area of its cells, each counted once; null without a position. Unit: hectares."),
  positives INT64 NOT NULL OPTIONS (description = "The most positive looks that one of its alerts has. Unit: days with a look."),
  max_score FLOAT64 NOT NULL OPTIONS (description = "The highest score of the looks that showed it. Unit: probability in [0, 1]."),
  proven BOOL OPTIONS (description = "Whether the label is proven for the model of after_uri (table models); null if not known."),
  before_uri STRING OPTIONS (description = "The clearest picture of the last look before that did not show it."),
  after_uri STRING NOT NULL OPTIONS (description = "The clearest picture of the first detection that shows it."),
  pictures ARRAY<STRING> OPTIONS (description = "after_uri of its alerts, each address once, in the order of detection."),
  areas ARRAY<STRING> OPTIONS (description = "Names of the areas that it touches, by name."),
  latitude FLOAT64 OPTIONS (description = "Of the centre of its (first) cell; null without a position. Unit: degrees."),
  longitude FLOAT64 OPTIONS (description = "Of the centre of its (first) cell; null without a position. Unit: degrees."),
  geometry BYTES OPTIONS (description = "Outline of the cells together (WGS 84, longitude first): polygon or multipolygon, counter-clockwise, cut at the 180th meridian; null without a position. Unit: degrees."),
  bbox STRUCT<xmin FLOAT64, ymin FLOAT64, xmax FLOAT64, ymax FLOAT64> OPTIONS (description = "Bounding box of geometry; null without one. xmin is greater than xmax if it crosses the 180th meridian. Unit: degrees."),
  updated_at TIMESTAMP NOT NULL OPTIONS (description = "The update that last changed the row. Unit: UTC.")
)
OPTIONS (description = "Neighbouring alerts of one label that are low, high or ended, one row per group of neighbours.");
