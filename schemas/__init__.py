"""What labels, tables and model artifacts look like; imports nothing of the project."""
