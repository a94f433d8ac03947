"""Standard input, a pylock.toml, to requirements with hashes for pip's `--require-hashes`.

uv writes requirements with the hashes of all files of a release, for every platform: half a
megabyte. A pylock.toml has only those for one platform, but also their addresses on a registry.

Clients of Google's AI services, 190 MB that Beam's extra gcp brings, are left out: nothing here
uses them, and no other package needs them.
"""

import sys
import tomllib

UNUSED = {"google-cloud-aiplatform", "google-genai"}

for package in tomllib.load(sys.stdin.buffer)["packages"]:
    if package["name"] in UNUSED:
        continue
    files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else ())]
    hashes = [f"--hash=sha256:{file['hashes']['sha256']}" for file in files]
    print(" \\\n    ".join([f"{package['name']}=={package['version']}", *hashes]))
