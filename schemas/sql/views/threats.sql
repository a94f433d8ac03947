-- The labels that an alert is about: signs that forest is being cleared.
SELECT label
FROM (
  VALUES ('road'), ('selective_logging'), ('slash_burn'), ('artisinal_mine'), ('conventional_mine')
) AS threat (label)
