"""The trainer: from labelled chips to a model artifact. Never imports Beam."""
