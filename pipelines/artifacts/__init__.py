"""Model artifacts, local or remote: fetched once per machine and opened."""
