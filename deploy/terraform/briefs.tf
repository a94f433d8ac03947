# After the score: find what is new on the ground, and write the brief. Both read published tables
# and may run at any time, so the job runs several times each morning: the first time after a night
# is published does the work, the others change nothing. A night that is late is covered as well.

locals {
  briefs = "gs://${google_storage_bucket.forest.name}/briefs"
  update = join(" && ", [
    "python -m beam_jobs.update_alerts --output '${local.output}' --skip_damaged",
    "python -m beam_jobs.brief --output '${local.output}' --skip_damaged --language '${var.brief_language}' --to \"${local.briefs}/$(date -u +%F).html\"",
  ])
}

resource "google_cloud_run_v2_job" "brief" {
  name                = var.brief_job
  location            = var.region
  deletion_protection = false
  template {
    template {
      service_account = google_service_account.worker.email
      max_retries     = 1
      timeout         = "3600s"
      containers {
        image   = var.image
        command = ["/bin/sh", "-c"]
        args    = [local.update]
        resources {
          limits = { cpu = "2", memory = "8Gi" }
        }
      }
    }
  }
}

resource "google_cloud_scheduler_job" "brief" {
  name             = var.brief_job
  region           = var.region
  description      = "Updates the alerts and writes the brief"
  schedule         = var.brief_schedule
  time_zone        = "Etc/UTC"
  paused           = var.paused
  attempt_deadline = "180s"

  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/projects/${var.project}/locations/${var.region}/jobs/${google_cloud_run_v2_job.brief.name}:run"
    oauth_token {
      service_account_email = google_service_account.scheduler.email
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }
}

resource "google_cloud_run_v2_job_iam_member" "scheduler" {
  project  = var.project
  location = var.region
  name     = google_cloud_run_v2_job.brief.name
  role     = "roles/run.invoker"
  member   = google_service_account.scheduler.member
}

resource "google_monitoring_alert_policy" "brief" {
  display_name          = "${var.alert_title}: the brief could not be written"
  combiner              = "OR"
  notification_channels = local.channels
  conditions {
    display_name = "The job that updates the alerts has failed"
    condition_matched_log {
      filter = "resource.type=\"cloud_run_job\" AND resource.labels.job_name=\"${google_cloud_run_v2_job.brief.name}\" AND severity>=ERROR"
    }
  }
  alert_strategy {
    notification_rate_limit {
      period = "3600s"
    }
  }
  documentation {
    content = "The job's log has one line with the reason. The tables are as they were, or complete; start it again: gcloud run jobs execute ${var.brief_job}. Before the first night is published it fails, too."
  }
}
