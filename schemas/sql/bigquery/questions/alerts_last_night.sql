-- Which chips of the last night show a threat, such as roads, logging or mines? Highest first.
-- The last night is that of the view last_night. If no chip was new in it, there is no answer.
-- One row per chip and threat. A chip that was scored twice that night has its newer scores, and a
-- relabelled one its newest labels. Cloudy chips are not observed, so they never raise an alert.
-- Labels that are not proven (fewer than ten chips in validation and test together) are left out;
-- `--unproven` shows them. proven is null if nothing is known of the model.
-- Made from sql/questions/alerts_last_night.sql by: python -m schemas.render
WITH rows_of_night AS (
  SELECT
    chip_scores.*,
    runs.published_at,
    runs.commit_version,
    MIN(
      CASE
        WHEN runs.run_id IS NULL
        THEN 9223372036854775807
        WHEN runs.kind <> 'relabel'
        THEN COALESCE(runs.commit_version, -1)
      END
    ) OVER (PARTITION BY chip_scores.chip_uri, chip_scores.scored_at) AS first_version
  FROM forest_chips.chip_scores
  LEFT JOIN forest_chips.runs
    ON runs.run_id = chip_scores.run_id
  WHERE
    chip_scores.run_date = (
      SELECT
        run_date
      FROM forest_chips.last_night
    )
), night AS (
  SELECT
    *
  FROM rows_of_night
  WHERE
    TRUE
  QUALIFY
    ROW_NUMBER() OVER (
      PARTITION BY chip_uri
      ORDER BY COALESCE(first_version, -1) DESC, scored_at DESC, commit_version DESC, published_at DESC, run_id DESC
    ) = 1
)
SELECT
  run_date,
  threats.label AS threat,
  CASE threats.label
    WHEN 'road'
    THEN score_road
    WHEN 'selective_logging'
    THEN score_selective_logging
    WHEN 'slash_burn'
    THEN score_slash_burn
    WHEN 'artisinal_mine'
    THEN score_artisinal_mine
    WHEN 'conventional_mine'
    THEN score_conventional_mine
  END AS score,
  trust.proven,
  sky_label,
  chip_uri,
  scene_id,
  observed_at,
  lon_min,
  lat_min,
  lon_max,
  lat_max
FROM night
JOIN forest_chips.threats
  ON threats.label IN UNNEST(night.labels)
LEFT JOIN forest_chips.label_trust AS trust
  ON trust.model_digest = night.model_digest AND trust.label = threats.label
WHERE
  sky_label IS DISTINCT FROM 'cloudy' AND trust.proven IS DISTINCT FROM FALSE
ORDER BY
  score DESC,
  chip_uri NULLS LAST,
  threat NULLS LAST
