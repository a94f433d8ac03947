"""The models of a study: what each one is; trained once and reused while it still fits."""
