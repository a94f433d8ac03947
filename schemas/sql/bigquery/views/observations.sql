-- One row per picture (a chip_uri with its etag): its newest scores with their newest labels.
-- See latest_chip_scores for what is newest. In addition:
--   place     the centre of its bounding box, to about 10 m, if the box is known; otherwise its
--             chip_uri. Pictures of the same ground that are cut in another way differ: see looks
--   seen_at   when it was taken, if known; otherwise when its object was last written; otherwise
--             when it was scored for the first time (scoring it again moves neither)
--   seen_at_source  which of these seen_at is: given (by the sidecar or the manifest), tif_tags,
--             modified_at or scored_at
--   observed  whether the ground was seen. A cloudy chip is not an observation: it says nothing
--             about the ground, neither that something is there nor that it is not. Under haze or
--             partial cloud a part of the ground is seen: such a picture is an observation, and
--             what it does not show may still be there. See its sky_label.
--   first_scored_at  when this picture was scored for the first time
--   footprint  geometry as it is stored (WKB), byte by byte as in the table chip_places
-- Made from sql/views/observations.sql by: python -m schemas.render
WITH publications AS (
  SELECT
    chip_scores.chip_uri,
    chip_scores.etag,
    chip_scores.run_id,
    chip_scores.scored_at,
    runs.published_at,
    runs.commit_version,
    MIN(
      CASE
        WHEN runs.run_id IS NULL
        THEN 9223372036854775807
        WHEN runs.kind <> 'relabel'
        THEN COALESCE(runs.commit_version, -1)
      END
    ) OVER (PARTITION BY chip_scores.chip_uri, chip_scores.scored_at) AS first_version,
    MIN(chip_scores.scored_at) OVER (PARTITION BY chip_scores.chip_uri, chip_scores.etag) AS first_scored_at,
    MIN(chip_scores.modified_at) OVER (PARTITION BY chip_scores.chip_uri, chip_scores.etag) AS first_modified_at,
    MIN(CASE WHEN runs.kind <> 'relabel' THEN runs.published_at END) OVER (PARTITION BY chip_scores.chip_uri, chip_scores.scored_at) AS score_published_at
  FROM forest_chips.chip_scores
  LEFT JOIN forest_chips.runs
    ON runs.run_id = chip_scores.run_id
), newest AS (
  SELECT
    chip_uri,
    run_id,
    scored_at,
    first_scored_at,
    first_modified_at
  FROM publications
  WHERE
    TRUE
  QUALIFY
    ROW_NUMBER() OVER (
      PARTITION BY chip_uri, etag
      ORDER BY COALESCE(first_version, -1) DESC, COALESCE(score_published_at, scored_at) DESC, scored_at DESC, commit_version DESC, published_at DESC, run_id DESC
    ) = 1
)
SELECT
  chip_scores.*
  REPLACE (ST_GEOGFROMWKB(chip_scores.geometry) AS geometry),
  COALESCE(
    CAST(ROUND((
      chip_scores.lon_min + chip_scores.lon_max
    ) / 2, 4) AS STRING) || ' ' || CAST(ROUND((
      chip_scores.lat_min + chip_scores.lat_max
    ) / 2, 4) AS STRING),
    chip_scores.chip_uri
  ) AS place,
  COALESCE(chip_scores.observed_at, newest.first_modified_at, newest.first_scored_at) AS seen_at,
  CASE
    WHEN NOT chip_scores.observed_at IS NULL
    THEN COALESCE(chip_scores.observed_at_source, 'given')
    WHEN NOT newest.first_modified_at IS NULL
    THEN 'modified_at'
    ELSE 'scored_at'
  END AS seen_at_source,
  chip_scores.sky_label IS DISTINCT FROM 'cloudy' AS observed,
  newest.first_scored_at,
  chip_scores.geometry AS footprint
FROM forest_chips.chip_scores
JOIN newest
  ON newest.chip_uri = chip_scores.chip_uri
  AND newest.run_id = chip_scores.run_id
  AND newest.scored_at = chip_scores.scored_at
