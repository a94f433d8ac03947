"""The Delta tables below an OUTPUT: open, create, commit; which runs are published."""
