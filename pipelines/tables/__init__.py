"""The Delta tables below an OUTPUT: open, create, commit; what is published and what is not."""
