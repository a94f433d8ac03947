"""With a trusted key only what its owner has signed is opened."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_jobs import relabel_chips, score_chips
from pipelines.artifacts.opening import open_artifact
from pipelines.artifacts.signing import check_signature, make_signature
from pipelines.commands import exit_code
from pipelines.errors import UsageError
from pipelines.scoring.scoring import SharedModel
from pipelines.storage import store
from schemas.artifact import ArtifactError
from tests.support.published_runs import at, publish, scored
from tests.support.samples import make_artifact, write_chips
from train.__main__ import main as train

pytest_plugins = ["tests.support.object_stores"]


def write_pair(folder, name, private=None):
    """A private key and its public one, as PEM files; returns their paths."""
    private = private or ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    public = private.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    paths = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    paths[0].write_bytes(private.private_bytes(pem, *plain))
    paths[1].write_bytes(public)
    return str(paths[0]), str(paths[1])


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    """A folder with a signed artifact `model`, its keys `ours`, and other keys `theirs`."""
    folder = tmp_path_factory.mktemp("signed")
    make_artifact(folder / "model")
    make_artifact(folder / "unsigned", seed=1)
    ours, _ = write_pair(folder, "ours")
    write_pair(folder, "theirs")
    assert train(["sign", f"--artifact={folder}/model", f"--key={ours}"]) == 0
    return folder


def copied(signed: Path, folder: Path) -> Path:
    folder.mkdir()
    for path in (signed / "model").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_a_signed_artifact_opens_with_its_key_and_as_before_without(signed):
    key = f"{signed}/ours.pub.pem"
    with_key, without = (open_artifact(f"{signed}/model", trusted_key=k) for k in (key, None))
    assert with_key == without


def test_openssfs_own_program_accepts_the_signature(signed):
    command = (sys.executable, "-m", "model_signing", "verify", "key", f"{signed}/model")
    flags = ("--signature", f"{signed}/model/artifact.sig", "--ignore_unsigned_files")

    def accepts(name):
        key = ("--public_key", f"{signed}/{name}.pub.pem")
        return subprocess.run([*command, *flags, *key], capture_output=True).returncode == 0

    assert (accepts("ours"), accepts("theirs")) == (True, False)


def test_an_unsigned_artifact_and_one_of_another_key_are_refused(signed):
    with pytest.raises(ArtifactError, match="unsigned is not signed, and --trusted_key asks for"):
        open_artifact(f"{signed}/unsigned", trusted_key=f"{signed}/ours.pub.pem")
    with pytest.raises(ArtifactError, match=r"is not signed with .*/theirs\.pub\.pem, or its"):
        open_artifact(f"{signed}/model", trusted_key=f"{signed}/theirs.pub.pem")


def test_a_changed_artifact_is_refused_although_its_files_fit_together(signed, tmp_path):
    from schemas.artifact_files import read_artifact

    folder = copied(signed, tmp_path / "changed")
    data = json.loads((folder / "artifact.json").read_text())
    data["training"] = {"other": "value"}
    (folder / "artifact.json").write_text(json.dumps(data))
    read_artifact(folder)
    with pytest.raises(ArtifactError, match=r"its artifact\.json was changed since"):
        open_artifact(str(folder), trusted_key=f"{signed}/ours.pub.pem")


def test_a_signature_of_another_artifact_is_refused(signed, tmp_path):
    folder = copied(signed, tmp_path / "other")
    make_artifact(folder, seed=2)
    assert not (folder / "artifact.sig").exists()  # writing an artifact removes it
    (folder / "artifact.sig").write_bytes((signed / "model" / "artifact.sig").read_bytes())
    with pytest.raises(ArtifactError, match="was changed since"):
        open_artifact(str(folder), trusted_key=f"{signed}/ours.pub.pem")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_signature_is_refused_in_one_line(signed, data):
    good = (signed / "model" / "artifact.sig").read_bytes()
    at_byte = data.draw(st.integers(0, len(good) - 1))
    part = data.draw(st.binary(max_size=4))
    damaged = data.draw(
        st.sampled_from([good[:at_byte], good[:at_byte] + part + good[at_byte + 1 :], part])
    )
    folder = signed / "damaged"
    folder.mkdir(exist_ok=True)
    (folder / "artifact.sig").write_bytes(damaged)
    description = (signed / "model" / "artifact.json").read_bytes()
    try:
        check_signature(str(folder), description, f"{signed}/ours.pub.pem")
    except ArtifactError as error:
        message = str(error)
    else:  # white space, or a field that is not part of what is signed
        before, now = json.loads(good), json.loads(damaged)
        assert before["dsseEnvelope"]["payload"] == now["dsseEnvelope"]["payload"]
        message = ""
    assert "\n" not in message


def test_a_key_that_cannot_be_used_is_a_usage_error(signed, tmp_path):
    private, public = f"{signed}/ours.pem", f"{signed}/ours.pub.pem"
    rsa_private, rsa_public = write_pair(tmp_path, "rsa", rsa.generate_private_key(65537, 2048))
    (tmp_path / "text").write_text("no key")
    description = (signed / "model" / "artifact.json").read_bytes()
    for key in (private, rsa_public, str(tmp_path / "text")):
        with pytest.raises(UsageError, match=r"--trusted_key .*: it is not a public elliptic"):
            check_signature(f"{signed}/model", description, key)
    for key in (public, rsa_private, str(tmp_path / "text")):
        with pytest.raises(UsageError, match=r"--key .*: it is not a private elliptic-curve key"):
            make_signature(description, key)
    with pytest.raises(UsageError, match=r"--trusted_key: .*none"):
        check_signature(f"{signed}/model", description, f"{tmp_path}/none")


def test_a_remote_artifact_is_signed_and_checked_where_it_is(signed, gs_uri):
    for path in (signed / "model").iterdir():
        store.write_bytes(f"{gs_uri}/model/{path.name}", path.read_bytes())
    store.write_bytes(f"{gs_uri}/model/artifact.sig", b"{}")
    with pytest.raises(ArtifactError, match="is not signed with"):
        open_artifact(f"{gs_uri}/model", trusted_key=f"{signed}/ours.pub.pem")
    assert train(["sign", f"--artifact={gs_uri}/model", f"--key={signed}/theirs.pem"]) == 0
    open_artifact(f"{gs_uri}/model", trusted_key=f"{signed}/theirs.pub.pem")


def test_a_worker_refuses_another_artifact_than_the_one_whose_signature_was_checked(signed):
    _, artifact = open_artifact(f"{signed}/model")

    def model(digest):
        asked = (f"{signed}/model", artifact.model_digest, "float32", 8, 1)
        return SharedModel(*asked, description_digest=digest)

    assert model(artifact.description_digest)._load()
    with pytest.raises(ArtifactError, match=r"digest of the signed artifact\.json"):
        model("0" * 64)._load()


def test_a_run_with_a_trusted_key_scores_only_with_a_signed_artifact(signed, tmp_path, capsys):
    write_chips(tmp_path / "chips", 3)
    flags = [f"--chips={tmp_path}/chips", f"--output={tmp_path}/out", "--run_id=one"]
    flags += [f"--trusted_key={signed}/ours.pub.pem"]
    unsigned = [*flags, f"--artifact={signed}/unsigned"]
    assert exit_code(score_chips.main, unsigned) == 2
    error = capsys.readouterr().err
    assert "is not signed" in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()
    assert exit_code(score_chips.main, [*unsigned, "--estimate"]) == 2
    assert exit_code(score_chips.main, [*flags, f"--artifact={signed}/model"]) == 0
    assert "3 scored" in capsys.readouterr().out


def test_relabelling_with_a_trusted_key_takes_only_signed_thresholds(signed, tmp_path, capsys):
    output = f"{tmp_path}/out"
    publish(output, "one", [scored("a")], published_at=at(1))
    flags = [f"--output={output}", f"--trusted_key={signed}/ours.pub.pem"]
    (tmp_path / "plain.json").write_text('{"clear": 0.5}')
    for thresholds in (tmp_path / "plain.json", signed / "unsigned" / "artifact.json"):
        assert exit_code(relabel_chips.main, [*flags, f"--thresholds={thresholds}"]) == 2
        assert "is not signed, and --trusted_key asks for" in capsys.readouterr().err
    digest = json.loads((signed / "model" / "artifact.json").read_text())["model_digest"]
    signed_ones = f"--thresholds={signed}/model/artifact.json"
    assert exit_code(relabel_chips.main, [*flags, signed_ones]) == 2  # of another model
    assert f"no models '{digest}' have current scores" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["evaluate", "compare"])
def test_measuring_with_a_trusted_key_takes_only_signed_artifacts(
    signed, tmp_path, capsys, command
):
    models = [f"{signed}/model", f"{signed}/unsigned"]
    named = ["--artifact", models[1]] if command == "evaluate" else ["--artifacts", *models]
    flags = ["--chips", str(tmp_path), "--output", str(tmp_path / "out")]
    assert train([command, *named, *flags, f"--trusted_key={signed}/ours.pub.pem"]) == 2
    assert "unsigned is not signed, and --trusted_key asks for" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
