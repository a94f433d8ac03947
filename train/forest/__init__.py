"""`python -m train forest`: the random forest on mean colours."""
