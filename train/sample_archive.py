"""Write a sample archive: `python -m train.sample_archive --output FOLDER` (see `train.sample`)."""

from __future__ import annotations

import sys

from train.sample.archive import main

if __name__ == "__main__":
    sys.exit(main())
