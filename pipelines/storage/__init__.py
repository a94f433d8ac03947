"""Objects by address: local paths, `gs://` and `s3://`; one way to read, list and write."""
