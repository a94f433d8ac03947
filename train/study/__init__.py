"""`python -m train study`: every model on the same chips, compared in a report and slides."""
