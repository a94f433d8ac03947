"""TorchGeo's GridGeoSampler over a scene, as its guide shows; runs in an environment of its own.

    PYTHON benchmarks/peers/torchgeo_grid.py SCENE --cut_px 256 --workers 2

It imports nothing of this project. A RasterDataset reads a folder of files; for a scene over HTTP
the class is given its address.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from typing import Any


def main() -> None:
    """Read all windows, compute their means, and print what it took as a line of JSON."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("scene")
    parser.add_argument("--cut_px", type=int, default=256)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()

    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GridGeoSampler, Units

    dataset: Any = RasterDataset(paths=[asked.scene])
    sampler = GridGeoSampler(dataset, size=asked.cut_px, stride=asked.cut_px, units=Units.PIXELS)
    loader = DataLoader(
        dataset, batch_size=64, sampler=sampler, num_workers=asked.workers, collate_fn=stack_samples
    )
    began, chips = time.perf_counter(), 0
    for batch in loader:
        chips += len(batch["image"].float().mean((2, 3)))
    seconds = time.perf_counter() - began
    own, workers = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    cpu = own.ru_utime + own.ru_stime + workers.ru_utime + workers.ru_stime
    print(json.dumps({"chips": chips, "seconds": seconds, "cpu_seconds": cpu}))


if __name__ == "__main__":
    main()
