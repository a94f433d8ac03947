-- Table verdicts, version 1. Written by: python -m schemas.render
CREATE TABLE verdicts (
  verdict_id STRING NOT NULL OPTIONS (description = "UUID (version 5) of what was recorded: the alert or site, the verdict, who, when and the note."),
  alert_id STRING NOT NULL OPTIONS (description = "The alert, as it was then."),
  site_id STRING OPTIONS (description = "The site, if the verdict is about one; else null."),
  place_id STRING NOT NULL OPTIONS (description = "The H3 cell, or the address of the chip if it has no position."),
  label STRING NOT NULL OPTIONS (description = "What the alert is about."),
  first_detected TIMESTAMP NOT NULL OPTIONS (description = "Where the time that it is about begins: the alert's first detection. Unit: UTC."),
  until TIMESTAMP NOT NULL OPTIONS (description = "Where that time ends: the end of the alert; its last look or judged_at, whichever is later, if it had not ended. Unit: UTC."),
  verdict STRING NOT NULL OPTIONS (description = "true: it is there; false: it is not; unclear: it could not be seen."),
  who STRING OPTIONS (description = "Who judged."),
  judged_at TIMESTAMP NOT NULL OPTIONS (description = "When. Unit: UTC."),
  note STRING OPTIONS (description = "What else they say."),
  recorded_at TIMESTAMP NOT NULL OPTIONS (description = "When the row was written. Unit: UTC.")
)
OPTIONS (description = "What officers say about alerts, one row for each verdict and alert; a verdict about a site has a row for each alert that the site had. It counts for every alert of the same place and label whose time overlaps, whatever its alert_id is now.");
