output "template" {
  description = "Where `gcloud dataflow flex-template build` must put the template."
  value       = local.template
}

output "artifact" {
  description = "Where to copy the model artifact."
  value       = local.artifact
}

output "output" {
  description = "The job's --output."
  value       = local.output
}

output "connection" {
  description = "For python -m beam_jobs.bigquery --connection."
  value       = "${var.project}.${var.region}.${google_bigquery_connection.forest.connection_id}"
}

output "worker" {
  description = "Account that the jobs run as."
  value       = google_service_account.worker.email
}

output "dataset" {
  description = "For python -m beam_jobs.bigquery --dataset."
  value       = google_bigquery_dataset.forest.dataset_id
}

output "job_name" {
  description = "Name of the nightly job and of its schedule."
  value       = google_cloud_scheduler_job.nightly.name
}
