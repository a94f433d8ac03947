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

variable "brief_schedule" {
  description = "When alerts are updated and the brief is written, as a cron schedule in UTC: after the score, more than once, because a night may be late."
  type        = string
  default     = "30 4,6,8,10 * * *"
}

variable "brief_language" {
  description = "Language of the brief: en, es or pt."
  type        = string
  default     = "en"
  validation {
    condition     = contains(["en", "es", "pt"], var.brief_language)
    error_message = "The brief is in en, es or pt."
  }
}

variable "paused" {
  description = "Whether the schedule is off: true until image, template and model are there, then false."
  type        = bool
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
  description = "Set to true after the first run and the first update_alerts: BigQuery reads a Delta table when its external table is created."
  type        = bool
  default     = false
}

# Names. Two teams in one project need different ones.

variable "job_name" {
  description = "Name of the nightly job and of its schedule; the alerts are about jobs with this name."
  type        = string
  default     = "forest-chips-nightly"
  validation {
    condition     = can(regex("^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$", var.job_name))
    error_message = "A job's name has up to 40 small letters, digits and hyphens, and begins with a letter."
  }
}

variable "brief_job" {
  description = "Name of the job that updates the alerts and writes the brief, and of its schedule."
  type        = string
  default     = "forest-chips-brief"
  validation {
    condition     = can(regex("^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$", var.brief_job))
    error_message = "A job's name has up to 40 small letters, digits and hyphens, and begins with a letter."
  }
}

variable "dataset" {
  description = "BigQuery's dataset of the tables and views; give it to python -m beam_jobs.bigquery as --dataset, too."
  type        = string
  default     = "forest_chips"
  validation {
    condition     = can(regex("^[A-Za-z0-9_]+$", var.dataset))
    error_message = "A dataset's name has letters, digits and underscores."
  }
}

variable "connection" {
  description = "Name of BigQuery's connection, which reads the Delta tables."
  type        = string
  default     = "forest"
}

variable "worker_account" {
  description = "Name of the account that the jobs run as."
  type        = string
  default     = "forest-chips-worker"
  validation {
    condition     = can(regex("^[a-z][-a-z0-9]{4,28}[a-z0-9]$", var.worker_account))
    error_message = "An account's name has 6 to 30 small letters, digits and hyphens, and begins with a letter."
  }
}

variable "scheduler_account" {
  description = "Name of the account that starts the nightly job."
  type        = string
  default     = "forest-chips-scheduler"
  validation {
    condition     = can(regex("^[a-z][-a-z0-9]{4,28}[a-z0-9]$", var.scheduler_account))
    error_message = "An account's name has 6 to 30 small letters, digits and hyphens, and begins with a letter."
  }
}

variable "image_repository" {
  description = "Name of the repository of container images, which is part of var.image."
  type        = string
  default     = "forest"
}

variable "published_metric" {
  description = "Name of the metric that counts published nights, for the alert about a missing one."
  type        = string
  default     = "forest_chips_runs_published"
}

variable "alert_title" {
  description = "What the titles of alerts and their addresses begin with."
  type        = string
  default     = "Forest chips"
}
