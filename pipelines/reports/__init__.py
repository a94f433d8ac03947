"""A night in numbers and pictures: the verdict before the commit, and the report page."""
