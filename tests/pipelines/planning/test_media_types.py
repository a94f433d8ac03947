"""An archive that the model cannot score is refused; one that it might score is not."""

import pytest

from pipelines.errors import UsageError
from pipelines.planning.archive import list_chips
from pipelines.planning.media_types import leave_out_pngs, refuse_other_media_type
from tests.support.samples import jpg_bytes
from tests.support.tars import tar_bytes

TIF, JPG, PNG = b"II*\0" + bytes(20), jpg_bytes(), b"\x89PNG\r\n\x1a\n" + bytes(20)


def check(folder, wanted):
    refuse_other_media_type(list_chips(str(folder), None).chips, wanted)


@pytest.mark.parametrize(("name", "data", "wanted"), [("tif", TIF, "jpg"), ("JPEG", JPG, "tif")])
def test_a_folder_of_the_other_media_type_is_refused(tmp_path, name, data, wanted):
    for number in range(20):
        (tmp_path / f"{number}.{name}").write_bytes(data)
    other = {"jpg": "tif", "tif": "jpg"}[wanted]
    with pytest.raises(UsageError, match=f"--chips holds 20 {other} chips and no {wanted}"):
        check(tmp_path, wanted)


def test_a_tar_of_the_other_media_type_is_refused(tmp_path):
    (tmp_path / "t.tar").write_bytes(tar_bytes([(f"{n}.tif", TIF) for n in range(20)]))
    with pytest.raises(UsageError, match="20 tif chips and no jpg"):
        check(tmp_path, "jpg")


def test_one_chip_of_the_models_media_type_by_name_or_by_bytes_is_enough(tmp_path):
    for number in range(5):
        (tmp_path / f"{number}.tif").write_bytes(JPG if number == 2 else TIF)
    check(tmp_path, "jpg")
    (tmp_path / "2.tif").write_bytes(TIF)
    (tmp_path / "a.jpg").write_bytes(TIF)
    check(tmp_path, "jpg")


def test_chips_that_are_no_pictures_are_left_to_the_quarantine(tmp_path):
    for number in range(5):
        (tmp_path / f"{number}.tif").write_bytes(b"")
    check(tmp_path, "jpg")


def test_a_manifest_of_chips_without_endings_is_left_to_their_bytes(tmp_path):
    (tmp_path / "chip").write_bytes(TIF)
    (tmp_path / "m.csv").write_text("chip_uri\nchip\n")
    refuse_other_media_type(list_chips(str(tmp_path / "m.csv"), None).chips, "jpg")


def test_a_folder_of_two_other_media_types_is_refused_with_both(tmp_path):
    for number in range(4):
        (tmp_path / f"{number}.tif").write_bytes(TIF)
        (tmp_path / f"{number}.png").write_bytes(PNG)
    message = "--chips holds 4 tif chips, 4 png chips and no jpg, .* trained on png or tif"
    with pytest.raises(UsageError, match=message):
        check(tmp_path, "jpg")
    check(tmp_path, "png")


def left(folder, wanted):
    found = leave_out_pngs(list_chips(str(folder), None).chips, str(folder), wanted)
    return sorted(uri.rpartition("/")[2] for uri in found["chip_uri"].to_pylist())


def test_pngs_are_left_out_next_to_the_chips_of_other_models_and_counted(tmp_path, capsys):
    (tmp_path / "a.jpg").write_bytes(JPG)
    (tmp_path / "t.tar").write_bytes(tar_bytes([("b.jpg", JPG), ("b.png", PNG)]))
    for name in ("a.png", "c.PNG"):
        (tmp_path / name).write_bytes(PNG)
    assert left(tmp_path, "jpg") == ["a.jpg", "t.tar#b.jpg"]
    said = capsys.readouterr()
    assert said.err == "--chips: 3 png files ignored, the model of --artifact takes jpg\n"
    assert not said.out
    assert left(tmp_path, "png") == ["a.jpg", "a.png", "c.PNG", "t.tar#b.jpg", "t.tar#b.png"]


def test_pngs_that_are_all_there_is_or_in_a_manifest_are_not_left_out(tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    assert left(tmp_path, "jpg") == ["a.png"]
    (tmp_path / "b.jpg").write_bytes(JPG)
    (tmp_path / "m.csv").write_text("chip_uri\na.png\nb.jpg\n")
    assert left(tmp_path / "m.csv", "jpg") == ["a.png", "b.jpg"]


def test_a_tar_that_cannot_be_read_is_not_left_out_with_the_pngs(tmp_path, capsys):
    for name, data in (("a.jpg", JPG), ("b.png", PNG), ("t.tar", b"damaged")):
        (tmp_path / name).write_bytes(data)
    assert left(tmp_path, "jpg") == ["a.jpg", "t.tar"]
    assert capsys.readouterr().err.startswith("--chips: 1 png file ignored")
