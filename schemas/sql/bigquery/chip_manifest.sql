-- Table chip_manifest, version 3. Written by: python -m schemas.render
CREATE TABLE chip_manifest (
  chip_uri STRING NOT NULL OPTIONS (description = "Absolute address of the chip's object."),
  chip_id STRING NOT NULL OPTIONS (description = "File stem of the chip."),
  scene_id STRING OPTIONS (description = "Scene that the chip was cut from, if known."),
  observed_at TIMESTAMP OPTIONS (description = "When the satellite took the picture, if known. Unit: UTC."),
  lon_min FLOAT64 OPTIONS (description = "Western edge of the chip (WGS 84), if known. Unit: degrees."),
  lat_min FLOAT64 OPTIONS (description = "Southern edge of the chip (WGS 84), if known. Unit: degrees."),
  lon_max FLOAT64 OPTIONS (description = "Eastern edge of the chip (WGS 84), if known. Unit: degrees."),
  lat_max FLOAT64 OPTIONS (description = "Northern edge of the chip (WGS 84), if known. Unit: degrees."),
  geometry BYTES OPTIONS (description = "Footprint of the chip (WGS 84, longitude first), if known: a polygon, counter-clockwise; a multipolygon if it is cut at the 180th meridian. Unit: degrees."),
  etag STRING OPTIONS (description = "The store's version tag of the object when it was listed."),
  size_bytes INT64 OPTIONS (description = "Size of the object when it was listed. Unit: bytes."),
  modified_at TIMESTAMP OPTIONS (description = "When the object was last written. Unit: UTC."),
  shard_uri STRING OPTIONS (description = "Address of the tar that contains the chip, if any."),
  offset_bytes INT64 OPTIONS (description = "Where in that tar the chip begins; null if the tar itself is quarantined. Unit: bytes."),
  scene_uri STRING OPTIONS (description = "Address of the scene that the chip is a window of, if any."),
  x_px INT64 OPTIONS (description = "First column of the window; null if the scene is rejected. Unit: pixels."),
  y_px INT64 OPTIONS (description = "First row of the window. Unit: pixels."),
  width_px INT64 OPTIONS (description = "Columns of the window. Unit: pixels."),
  height_px INT64 OPTIONS (description = "Rows of the window. Unit: pixels."),
  header_uri STRING OPTIONS (description = "Where the scene's header is stored, if it is."),
  scene_bands STRING OPTIONS (description = "JSON: which bands of the scene the model takes, with scales and offsets, if a STAC item says.")
)
OPTIONS (description = "The chips that a run scores; a row group is a unit of work.");
