# Two accounts: one that runs the jobs, one that may only start them. Neither has a key.

resource "google_service_account" "worker" {
  account_id   = var.worker_account
  display_name = "Launcher and workers of the scoring job"
}

resource "google_service_account" "scheduler" {
  account_id   = var.scheduler_account
  display_name = "Starts the scoring job each night"
}

resource "google_project_iam_member" "worker" {
  project = var.project
  role    = "roles/dataflow.worker"
  member  = google_service_account.worker.member
}

# To read, write and delete objects, and to look at the bucket itself, as Beam does.
resource "google_storage_bucket_iam_member" "worker" {
  for_each = toset(["roles/storage.objectUser", "roles/storage.legacyBucketReader"])
  bucket   = google_storage_bucket.forest.name
  role     = each.key
  member   = google_service_account.worker.member
}

resource "google_storage_bucket_iam_member" "chips" {
  count  = var.chips_bucket == "" ? 0 : 1
  bucket = var.chips_bucket
  role   = "roles/storage.objectViewer"
  member = google_service_account.worker.member
}

resource "google_artifact_registry_repository_iam_member" "worker" {
  location   = google_artifact_registry_repository.forest.location
  repository = google_artifact_registry_repository.forest.repository_id
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.worker.member
}

resource "google_storage_bucket_iam_member" "connection" {
  bucket = google_storage_bucket.forest.name
  role   = "roles/storage.objectViewer"
  member = "serviceAccount:${google_bigquery_connection.forest.cloud_resource[0].service_account_id}"
}

# An account that starts a job must be allowed to act as the account that the job runs as.
resource "google_project_iam_member" "scheduler" {
  project = var.project
  role    = "roles/dataflow.developer"
  member  = google_service_account.scheduler.member
}

resource "google_service_account_iam_member" "scheduler" {
  service_account_id = google_service_account.worker.name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.scheduler.member
}

resource "google_storage_bucket_iam_member" "scheduler" {
  bucket = google_storage_bucket.forest.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.scheduler.member
  condition {
    title      = "templates"
    expression = "resource.name.startsWith(\"projects/_/buckets/${google_storage_bucket.forest.name}/objects/templates/\")"
  }
}
