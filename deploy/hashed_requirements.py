"""Standard input, a pylock.toml, to requirements with hashes for pip's `--require-hashes`.

uv writes requirements with the hashes of all files of a release, for every platform: half a
megabyte. A pylock.toml has only those for one platform, but also their addresses on a registry.
"""

import sys
import tomllib

for package in tomllib.load(sys.stdin.buffer)["packages"]:
    files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else ())]
    hashes = [f"--hash=sha256:{file['hashes']['sha256']}" for file in files]
    print(" \\\n    ".join([f"{package['name']}=={package['version']}", *hashes]))
