"""The study: every model trained on the same chips, compared, and told as a report and slides."""
