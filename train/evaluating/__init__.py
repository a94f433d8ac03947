"""What an evaluation writes next to its figures: predictions, confusions, curves and suspects."""
