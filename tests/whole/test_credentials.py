"""Missing credentials: the error says that there are none, and where they were looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from beam_jobs import score_chips
from pipelines.commands import exit_code
from pipelines.errors import StoreDown
from pipelines.storage import _aws_credentials, store
from pipelines.storage.store import StoreSettings

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@pytest.fixture
def no_keys(s3_uri: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A bucket; the environment says where it is, and has no credentials."""
    for name in (*KEYS, "AWS_SKIP_SIGNATURE", "AWS_EC2_METADATA_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    for name in (*_aws_credentials._ELSEWHERE, *_aws_credentials._ADDRESSES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setattr(_aws_credentials, "_MACHINE", tmp_path / "dmi")
    store.configure(StoreSettings(deadline_s=0.1))
    store.forget_stores()
    return s3_uri


def test_without_keys_a_run_says_so_in_one_line_and_asks_no_metadata_service(
    no_keys: str, artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--chips", f"{no_keys}/chips", "--artifact", str(artifact), "--output", str(tmp_path)]
    assert exit_code(score_chips.main, flags) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --chips: no AWS credentials were found")
    for place in (*KEYS, "AWS_WEB_IDENTITY_TOKEN_FILE", "'default'", f"{tmp_path}/credentials"):
        assert place in error
    assert "169.254" not in error
    assert len(error.splitlines()) == 1


def test_half_a_key_is_named(no_keys: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    with pytest.raises(StoreDown, match="AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is"):
        store.delta_options(f"{no_keys}/out")


@pytest.mark.parametrize("profile", ["default", "work"])
def test_keys_of_a_profile_are_used(
    no_keys: str, profile: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = f"[{profile}]\naws_access_key_id = a\naws_secret_access_key = b%c\n"
    (tmp_path / "credentials").write_text(text)
    monkeypatch.setenv("AWS_PROFILE", profile)
    store.write_bytes(f"{no_keys}/a", b"1")
    assert store.read_bytes(f"{no_keys}/a") == b"1"
    options = store.delta_options(no_keys)
    assert (options["aws_access_key_id"], options["aws_secret_access_key"]) == ("a", "b%c")


@pytest.mark.parametrize("text", ["", "[default]\nsso_session = x\n", "not a file of keys", "\xff"])
def test_a_profile_without_keys_is_none(no_keys: str, tmp_path: Path, text: str) -> None:
    (tmp_path / "credentials").write_bytes(text.encode("latin-1"))
    with pytest.raises(StoreDown, match="no AWS credentials were found"):
        store.read_bytes(f"{no_keys}/a")


@pytest.mark.parametrize(
    ("variable", "value", "asks"),
    [
        ("AWS_EC2_METADATA_DISABLED", "false", True),
        ("AWS_EC2_METADATA_DISABLED", "true", False),
        ("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1", True),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token", True),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1", True),
        ("AWS_SKIP_SIGNATURE", "true", True),
        ("AWS_PROFILE", "none", False),
    ],
)
def test_the_libraries_look_further_only_if_the_environment_says_so(
    no_keys: str, variable: str, value: str, asks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    if asks:
        assert _aws_credentials.find_aws_keys() == {}
    else:
        with pytest.raises(StoreDown):
            _aws_credentials.find_aws_keys()


def test_the_metadata_service_is_asked_on_a_machine_of_amazon(no_keys: str, tmp_path: Path) -> None:
    (tmp_path / "dmi").mkdir()
    (tmp_path / "dmi" / "sys_vendor").write_text("QEMU\n")
    with pytest.raises(StoreDown):
        _aws_credentials.find_aws_keys()
    (tmp_path / "dmi" / "sys_vendor").write_text("Amazon EC2\n")
    assert _aws_credentials.find_aws_keys() == {}
