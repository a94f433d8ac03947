variable "project" {
  description = "Id of the Google Cloud project."
  type        = string
}

variable "region" {
  description = "Where bucket, dataset, jobs and scheduler are: one region, so that no chip is read across regions."
  type        = string
}

variable "bucket" {
  description = "Name of the bucket to create for model, tables and the jobs' files."
  type        = string
}

variable "chips" {
  description = "The archive: folder, prefix, glob or manifest, for example gs://archive/chips."
  type        = string
  validation {
    condition     = can(regex("^(gs|s3)://", var.chips))
    error_message = "Workers reach gs:// and s3:// only."
  }
}

variable "chips_bucket" {
  description = "Bucket of the archive, which the workers may read; empty if it is var.bucket, or not Google's."
  type        = string
  default     = ""
}

variable "image" {
  description = "The project's container image, with its tag: REGION-docker.pkg.dev/PROJECT/forest/chips:TAG."
  type        = string
}

variable "schedule" {
  description = "When a night is scored, as a cron schedule in UTC; the job scores all chips that have arrived by then, as yesterday's night."
  type        = string
  default     = "15 2 * * *"
}

variable "gpu" {
  description = "GPU of each worker, for example nvidia-l4; empty for none."
  type        = string
  default     = ""
}

variable "max_workers" {
  description = "Most workers at a time; limits the cost of a night, and must fit your quota."
  type        = number
  default     = 20
}

variable "worker_zone" {
  description = "Zone of the workers, if a GPU is out of stock in others; empty for any zone of the region."
  type        = string
  default     = ""
}

variable "launcher_machine_type" {
  description = "Machine that plans the run. The default is enough for ten million chips."
  type        = string
  default     = "e2-highmem-4"
}

variable "subnetwork" {
  description = "Subnetwork of the workers as regions/REGION/subnetworks/NAME, with Private Google Access; empty for the default network and public addresses."
  type        = string
  default     = ""
}

variable "drift_empty" {
  description = "Whether a night without new chips is bad, because the archive grows every night."
  type        = bool
  default     = false
}

variable "hold_on_drift" {
  description = "Whether a night that differs from the nights before is held until someone publishes it."
  type        = bool
  default     = false
}

variable "alert_emails" {
  description = "Who gets a mail about a failed, a bad or a missing night."
  type        = list(string)
}

variable "first_night_done" {
  description = "Set to true after the first run: BigQuery reads a Delta table when its external table is created."
  type        = bool
  default     = false
}
