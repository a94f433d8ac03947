"""Names of an artifact's files, next to those of `schemas.artifact`."""

LEGACY_MODEL_FILE = "model.h5"
CURVES_FILE = "curves.png"
RELIABILITY_FILE = "reliability.png"
HISTORY_FILE = "history.csv"
SPLIT_FILE = "split.csv"
CARD_FILE = "model_card.md"
ITEM_FILE = "mlm_item.json"
