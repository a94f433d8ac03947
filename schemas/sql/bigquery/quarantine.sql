-- Table quarantine, version 3. Written by: python -m schemas.render
CREATE TABLE quarantine (
  chip_uri STRING NOT NULL OPTIONS (description = "Absolute address of the chip's object."),
  chip_id STRING NOT NULL OPTIONS (description = "File stem of the chip."),
  scene_id STRING OPTIONS (description = "Scene that the chip was cut from, if known."),
  observed_at TIMESTAMP OPTIONS (description = "When the satellite took the picture, if known. Unit: UTC."),
  lon_min FLOAT64 OPTIONS (description = "Western edge of the chip (WGS 84), if known. Unit: degrees."),
  lat_min FLOAT64 OPTIONS (description = "Southern edge of the chip (WGS 84), if known. Unit: degrees."),
  lon_max FLOAT64 OPTIONS (description = "Eastern edge of the chip (WGS 84), if known. Unit: degrees."),
  lat_max FLOAT64 OPTIONS (description = "Northern edge of the chip (WGS 84), if known. Unit: degrees."),
  geometry BYTES OPTIONS (description = "Footprint of the chip (WGS 84, longitude first), if known: a polygon, counter-clockwise; a multipolygon if it is cut at the 180th meridian. Unit: degrees."),
  bbox STRUCT<xmin FLOAT64, ymin FLOAT64, xmax FLOAT64, ymax FLOAT64> OPTIONS (description = "Bounding box of geometry; null without one. xmin is greater than xmax if it crosses the 180th meridian. Unit: degrees."),
  etag STRING OPTIONS (description = "The store's version tag of the object when it was listed."),
  size_bytes INT64 OPTIONS (description = "Size of the object when it was listed. Unit: bytes."),
  scene_bands STRING OPTIONS (description = "JSON: which bands of the scene the model takes, with scales and offsets, if a STAC item says."),
  reason STRING NOT NULL OPTIONS (description = "One of a closed list: empty: the object has no bytes; truncated: the file ends before the picture does; not_an_image: the bytes are not a picture, whatever the file name says; unsupported_media_type: a picture, but neither JPEG, GeoTIFF nor PNG (GIF, WebP, BMP ...); media_type: a JPEG, GeoTIFF or PNG for a model that reads another of them; wrong_bands: not the bands or the sample type that the model reads, such as 4 x uint16 of a GeoTIFF; wrong_size: a side shorter than the artifact accepts; too_large: a side longer, or more bytes, than the artifact accepts; no_data: every pixel is no data, or 0 (of a window: too many): nothing to see, and not a fault; decode_error: the decoder failed for another reason; non_finite_score: the model's scores are not all finite numbers; bad_shard: a tar of chips that is not a tar, is compressed, or is truncated; unreadable: the object could not be fetched from storage; out_of_memory: the device had too little memory even for this one chip."),
  message STRING NOT NULL OPTIONS (description = "What was wrong with this chip."),
  model_digest STRING NOT NULL OPTIONS (description = "sha256 of what decides a score: weights, architecture, label order, preprocessing."),
  quarantined_at TIMESTAMP NOT NULL OPTIONS (description = "When the chip was quarantined. Unit: UTC."),
  run_date DATE NOT NULL OPTIONS (description = "Night that the run belongs to. Unit: UTC date."),
  run_id STRING NOT NULL OPTIONS (description = "The run that made the row.")
)
PARTITION BY run_date
CLUSTER BY run_id
OPTIONS (description = "Chips that a run could not score, each with its reason.");
