"""The report and the slides of a study, as HTML and Markdown."""
