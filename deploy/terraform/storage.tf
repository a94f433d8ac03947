locals {
  artifact = "gs://${google_storage_bucket.forest.name}/model"
  output   = "gs://${google_storage_bucket.forest.name}/tables"
  template = "gs://${google_storage_bucket.forest.name}/templates/score_chips.json"

  # Delta table to external table, as python -m beam_jobs.bigquery names them.
  external_tables = {
    models        = "all_models"
    chip_scores   = "chip_scores"
    quarantine    = "all_quarantine"
    runs          = "all_runs"
    places        = "places"
    chip_places   = "chip_places"
    alerts        = "alerts"
    sites         = "sites"
    alert_changes = "alert_changes"
    alert_areas   = "alert_areas"
    alert_updates = "alert_updates"
    verdicts      = "verdicts"
  }
}

resource "google_storage_bucket" "forest" {
  name                        = var.bucket
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  # Files that jobs leave. Below tables/ only staging and indexes of tars: other old files may be part
  # of a table.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age            = 7
      matches_prefix = ["tmp/"]
    }
  }
  # Staging of dead runs, if no later run has deleted it (--keep_staging_days is 7), and indexes of
  # tars, if `maintain` is not run.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age            = 30
      matches_prefix = ["tables/_staging/", "tables/_tar_index/"]
    }
  }
  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 1
    }
  }
  # Otherwise deleted temporary files cost money for another week.
  soft_delete_policy {
    retention_duration_seconds = 0
  }
}

resource "google_artifact_registry_repository" "forest" {
  repository_id = var.image_repository
  location      = var.region
  format        = "DOCKER"
  description   = "Container images of the scoring job"
}

resource "google_bigquery_dataset" "forest" {
  dataset_id  = var.dataset
  location    = var.region
  description = "The scoring job's results: external tables over its Delta tables, and views"
}

resource "google_bigquery_connection" "forest" {
  connection_id = var.connection
  location      = var.region
  description   = "Reads the Delta tables"
  cloud_resource {}
}

resource "google_bigquery_table" "external" {
  for_each            = var.first_night_done ? local.external_tables : {}
  dataset_id          = google_bigquery_dataset.forest.dataset_id
  table_id            = each.value
  deletion_protection = false

  external_data_configuration {
    source_format = "DELTA_LAKE"
    source_uris   = ["${local.output}/${each.key}"]
    connection_id = google_bigquery_connection.forest.name
    autodetect    = true
  }

  depends_on = [google_storage_bucket_iam_member.connection]
}
