"""The models of a study: what each one is, trained once and kept while it still fits."""
