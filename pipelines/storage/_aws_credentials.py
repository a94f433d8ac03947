"""AWS keys: where this process finds them, and a clear error if it cannot.

obstore looks at the environment and then asks the metadata service of EC2, whose address means
nothing to a user who has forgotten the keys. So that service is asked on EC2 only, or when told to.
"""

from __future__ import annotations

import configparser
import os
from contextlib import suppress
from pathlib import Path

from pipelines.errors import StoreDown

_KEY, _SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
_ELSEWHERE = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_SWITCH = "AWS_EC2_METADATA_DISABLED"
_ADDRESSES = ("AWS_METADATA_ENDPOINT", "AWS_EC2_METADATA_SERVICE_ENDPOINT")
_PROFILE_KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
_MACHINE = Path("/sys/class/dmi/id")  # what the maker of a machine wrote into it
_MACHINE_FILES = ("sys_vendor", "board_vendor", "bios_vendor", "bios_version", "product_version")


def find_aws_keys() -> dict[str, str]:
    """The keys of the profile, for libraries that read no profiles; none if the environment or the
    machine has credentials, which the libraries find themselves.

    Raises:
        StoreDown: there are no credentials anywhere.
    """
    if os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in ("true", "1"):
        return {}
    if os.environ.get(_KEY):
        if os.environ.get(_SECRET):
            return {}
        raise StoreDown(f"no AWS credentials: {_KEY} is set, and {_SECRET} is not")
    if any(os.environ.get(name) for name in _ELSEWHERE):
        return {}
    if keys := _keys_of_profile():
        return keys
    if _may_ask_machine():
        return {}
    raise StoreDown(_nothing_found())


def _keys_of_profile() -> dict[str, str]:
    for path, section in _profile_sections():
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        with suppress(configparser.Error, OSError, UnicodeDecodeError):
            parser.read(path, encoding="utf-8")
        if parser.has_section(section):
            found = {name: parser.get(section, name, fallback="") for name in _PROFILE_KEYS}
            if found["aws_access_key_id"] and found["aws_secret_access_key"]:
                return {name: value for name, value in found.items() if value}
    return {}


def _profile_sections() -> list[tuple[Path, str]]:
    """The files that may have the profile's keys, and its section in each."""
    profile, home = _profile(), Path("~/.aws").expanduser()
    credentials = os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or home / "credentials"
    config = os.environ.get("AWS_CONFIG_FILE") or home / "config"
    in_config = profile if profile == "default" else f"profile {profile}"
    return [(Path(credentials), profile), (Path(config), in_config)]


def _profile() -> str:
    return os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or "default"


def _may_ask_machine() -> bool:
    """Whether the metadata service may have a role's credentials."""
    switch = os.environ.get(_SWITCH, "").lower()
    if switch in ("true", "false"):
        return switch == "false"
    return any(os.environ.get(name) for name in _ADDRESSES) or _is_on_ec2()


def _is_on_ec2() -> bool:
    texts = []
    for name in _MACHINE_FILES:
        with suppress(OSError):
            texts.append((_MACHINE / name).read_text(errors="replace"))
    return "amazon" in "\n".join(texts).lower()


def _nothing_found() -> str:
    files = " and ".join(str(path) for path, _ in _profile_sections())
    return (
        f"no AWS credentials were found: looked for {_KEY} and {_SECRET}, {', '.join(_ELSEWHERE)}, "
        f"and keys of the profile {_profile()!r} in {files}; the metadata service is asked on EC2 "
        f"only, or with {_SWITCH}=false. Set the keys (profiles with SSO or roles: aws configure "
        "export-credentials --format env), or AWS_SKIP_SIGNATURE=true for a public bucket"
    )
