"""Objects with names that obstore cannot write: the store's own client writes them."""

from __future__ import annotations


def put_by_client(uri: str, name: str) -> None:
    """Write an object of any name; its content is its name."""
    scheme, _, bucket = uri.partition("://")
    if scheme == "gs":
        from google.cloud import storage as client

        client.Client().bucket(bucket).blob(name).upload_from_string(name.encode())
    else:
        import boto3

        boto3.client("s3").put_object(Bucket=bucket, Key=name, Body=name.encode())
