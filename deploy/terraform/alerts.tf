# Alerts about nights: one that failed, one that looks unusual, and a missing one.
# Workers log events as JSON lines (docs/operating.md); Dataflow keeps a line as jsonPayload.message.

locals {
  channels = [for channel in google_monitoring_notification_channel.email : channel.id]
  # The nightly job, and runs of a night that are launched by hand: NAME-DATE. Not those of other teams.
  jobs  = "${var.job_name}(-[0-9-]+)?"
  event = "resource.type=\"dataflow_step\" AND resource.labels.job_name=~\"^${local.jobs}$\" AND jsonPayload.message=~\"\\\"event\\\": \\\"%s\\\"\""
}

resource "google_monitoring_notification_channel" "email" {
  for_each     = toset(var.alert_emails)
  display_name = "${var.alert_title}: ${each.key}"
  type         = "email"
  labels       = { email_address = each.key }
}

resource "google_monitoring_alert_policy" "failed" {
  display_name          = "${var.alert_title}: the night has failed"
  combiner              = "OR"
  notification_channels = local.channels
  conditions {
    display_name = "Dataflow says that the job failed"
    condition_threshold {
      filter          = "resource.type=\"dataflow_job\" AND resource.labels.job_name=monitoring.regex.full_match(\"${local.jobs}\") AND metric.type=\"dataflow.googleapis.com/job/is_failed\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"
      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }
  documentation {
    content = "The job's log has the reason; nothing was published. Launch it again, and it resumes: gcloud scheduler jobs run ${var.job_name}. See docs/operating.md, Running again."
  }
}

resource "google_monitoring_alert_policy" "not_started" {
  display_name          = "${var.alert_title}: the night could not be started"
  combiner              = "OR"
  notification_channels = local.channels
  conditions {
    display_name = "The scheduler's request was refused"
    condition_matched_log {
      filter = "resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=\"${google_cloud_scheduler_job.nightly.name}\" AND severity>=ERROR"
    }
  }
  alert_strategy {
    notification_rate_limit {
      period = "3600s"
    }
  }
  documentation {
    content = "Look at the scheduler's log: a missing role, a missing template, or yesterday's job that is still running."
  }
}

resource "google_monitoring_alert_policy" "drift" {
  display_name          = "${var.alert_title}: the night looks unlike those before"
  combiner              = "OR"
  notification_channels = local.channels
  conditions {
    display_name = "Verdict bad"
    condition_matched_log {
      filter = "${format(local.event, "run_judged")} AND jsonPayload.message=~\"\\\"verdict\\\": \\\"bad\\\"\""
    }
  }
  alert_strategy {
    notification_rate_limit {
      period = "3600s"
    }
  }
  documentation {
    content = "The line names the findings, as does runs.findings. See docs/operating.md, Watching."
  }
}

resource "google_logging_metric" "published" {
  name   = var.published_metric
  filter = format(local.event, "run_published")
  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }
}

resource "google_monitoring_alert_policy" "no_run" {
  display_name          = "${var.alert_title}: no night was published"
  combiner              = "OR"
  notification_channels = local.channels
  conditions {
    display_name = "Nothing in 25 hours"
    condition_threshold {
      filter                  = "resource.type=\"dataflow_job\" AND metric.type=\"logging.googleapis.com/user/${google_logging_metric.published.name}\""
      comparison              = "COMPARISON_LT"
      threshold_value         = 1
      duration                = "3600s"
      evaluation_missing_data = "EVALUATION_MISSING_DATA_ACTIVE"
      aggregations {
        alignment_period     = "90000s"
        per_series_aligner   = "ALIGN_SUM"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }
  documentation {
    content = "A night without new chips is published, too. So the job did not finish: it was not started, it failed, it is waiting for machines, or a night is held."
  }
}
