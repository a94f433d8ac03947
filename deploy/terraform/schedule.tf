# The same request each night: the job knows what yesterday is, and names its run after it.
# - Twice in a night: Dataflow refuses a second job with the name while the first is active; after it,
#   the run is published already and nothing changes.
# - After missed nights: one run over all chips that are not scored yet.

locals {
  parameters = merge(
    {
      chips               = var.chips
      artifact            = local.artifact
      output              = local.output
      run_date            = "yesterday"
      run_id              = "nightly-{run_date}"
      log_format          = "json"
      skip_damaged        = "true" # damage to one night's files must not stop the others
      sdk_container_image = var.image
    },
    var.gpu == "" ? {} : { gpu = var.gpu },
    var.drift_empty ? { drift_empty = "true" } : {},
    var.hold_on_drift ? { hold_on_drift = "true" } : {},
  )

  environment = merge(
    {
      serviceAccountEmail = google_service_account.worker.email
      tempLocation        = "gs://${google_storage_bucket.forest.name}/tmp"
      stagingLocation     = "gs://${google_storage_bucket.forest.name}/tmp/staging"
      launcherMachineType = var.launcher_machine_type
      maxWorkers          = var.max_workers
    },
    var.worker_zone == "" ? {} : { workerZone = var.worker_zone },
    var.subnetwork == "" ? {} : { subnetwork = var.subnetwork, ipConfiguration = "WORKER_IP_PRIVATE" },
  )
}

resource "google_cloud_scheduler_job" "nightly" {
  name             = var.job_name
  region           = var.region
  description      = "Scores new chips in the archive"
  schedule         = var.schedule
  time_zone        = "Etc/UTC"
  paused           = var.paused
  attempt_deadline = "320s"

  retry_config {
    retry_count          = 3
    min_backoff_duration = "300s"
    max_backoff_duration = "1800s"
  }

  http_target {
    http_method = "POST"
    uri         = "https://dataflow.googleapis.com/v1b3/projects/${var.project}/locations/${var.region}/flexTemplates:launch"
    headers     = { "Content-Type" = "application/json" }
    body = base64encode(jsonencode({
      launchParameter = {
        jobName              = var.job_name
        containerSpecGcsPath = local.template
        parameters           = local.parameters
        environment          = local.environment
      }
    }))
    oauth_token {
      service_account_email = google_service_account.scheduler.email
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }

  depends_on = [google_service_account_iam_member.scheduler]
}
