"""What may be dropped on the page, and what must not get further than its door."""

from __future__ import annotations

import gzip
import stat
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radiogen.app.files import Upload, receive
from radiogen.config.app import AppSettings
from radiogen.errors import InputError
from tests.app.data import phantom_files, uploads, zipped

LIMITS = AppSettings(max_upload_mb=8, max_unpacked_mb=8, max_files=10)


def refused(files: list[Upload], folder: Path, limits: AppSettings = LIMITS) -> str:
    with pytest.raises(InputError) as caught:
        receive(files, folder, limits)
    return str(caught.value)


def test_files_get_neutral_names_and_keep_their_bytes(tmp_path: Path) -> None:
    received = receive([Upload("DOE^JANE_t1c.nii.gz", phantom_files()["t1c"])], tmp_path, LIMITS)
    (stored,) = received.files
    assert (stored.name, stored.kind) == ("DOE^JANE_t1c.nii.gz", "nifti")
    assert stored.path.read_bytes() == phantom_files()["t1c"]
    assert not any("doe" in path.name.lower() for path in tmp_path.rglob("*"))


def test_a_zip_is_the_same_as_its_files(tmp_path: Path) -> None:
    litter = {"__MACOSX/a/._t1c.nii.gz": b"x", "a/.DS_Store": b"x", "a/notes.txt": b"hello"}
    packed = zipped({f"a/x_{name}.nii.gz": content for name, content in phantom_files().items()} | litter)
    received = receive([Upload("case.zip", packed)], tmp_path, LIMITS)
    assert [Path(stored.name).name for stored in received.files] == [upload.name for upload in uploads()]
    assert received.passed_over == ["a/notes.txt"]


@pytest.mark.parametrize(
    "name", ["../t1c.nii.gz", "/etc/t1c.nii.gz", "a/../../t1c.nii.gz", "C:\\t1c.nii.gz", "..\\t1c.nii.gz"]
)
def test_paths_that_lead_outside_are_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    packed = zipped({"x_t1n.nii.gz": phantom_files()["t1n"], name: phantom_files()["t1c"]})
    assert "leads out of its folder" in refused([Upload("evil.zip", packed)], inside)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.sampled_from(["..", ".", "a", "", "\\..", "C:", "t1", "é", " "]), min_size=1, max_size=5))
def test_no_name_in_a_zip_writes_outside(parts: list[str], tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    dicom = bytes(128) + b"DICM"
    packed = zipped({"/".join([*parts, "x.dcm"]): dicom})
    try:
        received = receive([Upload("a.zip", packed)], inside, AppSettings())
    except InputError:
        received = None
    root = inside.resolve()
    assert all(path.resolve().is_relative_to(root) for path in tmp_path.rglob("*") if path.is_file())
    assert received is None or received.files[0].path.resolve().is_relative_to(root)


def test_links_passwords_and_zips_in_zips_are_refused(tmp_path: Path) -> None:
    linked = BytesIO()
    with zipfile.ZipFile(linked, "w") as archive:
        entry = zipfile.ZipInfo("t1c.nii.gz")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    locked = bytearray(zipped({"x_t1c.nii.gz": phantom_files()["t1c"]}))
    locked[locked.rindex(b"PK\x01\x02") + 8] |= 1
    text = refused([Upload("linked.zip", linked.getvalue()), Upload("locked.zip", bytes(locked))], tmp_path)
    assert "linked.zip: it holds a link" in text
    assert "locked.zip: it is encrypted" in text
    nested = refused([Upload("outer.zip", zipped({"inner.zip": zipped({"a": b"b"})}))], tmp_path)
    assert "There is no image" in nested


def test_bombs_stop_at_the_limit(tmp_path: Path) -> None:
    header = gzip.decompress(phantom_files()["t1c"])[:352]
    bomb = gzip.compress(header + bytes(9 * 1024 * 1024))
    assert len(bomb) < 20_000
    assert "more than 8 MB after unpacking" in refused([Upload("x_t1c.nii.gz", bomb)], tmp_path)
    assert "it unpacks to 9 MB" in refused([Upload("a.zip", zipped({"a.nii": bytes(9 * 1024 * 1024)}))], tmp_path)


def test_a_zip_that_lies_about_its_sizes_stops_at_the_limit(tmp_path: Path) -> None:
    plain = gzip.decompress(phantom_files()["t1c"])
    packed = bytearray(zipped({"x_t1c.nii": plain + bytes(9 * 1024 * 1024)}))
    at = packed.rindex(b"PK\x01\x02") + 24
    packed[at : at + 4] = (1000).to_bytes(4, "little")
    # Python reads as many bytes as the directory states, and then finds that their checksum is another one.
    assert "a.zip" in refused([Upload("a.zip", bytes(packed))], tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.nii")) <= 1000


def test_too_much_and_too_many(tmp_path: Path) -> None:
    big = [Upload("x_t1c.nii", bytes(9 * 1024 * 1024))]
    assert "9 MB together; up to 8 MB" in refused(big, tmp_path)
    many = {f"{number}.dcm": b"x" for number in range(11)}
    assert "it holds 11 files; up to 10" in refused([Upload("a.zip", zipped(many))], tmp_path)
    few = [Upload(f"{number}.dcm", bytes(128) + b"DICM") for number in range(11)]
    assert "more than 10 files" in refused(few, tmp_path)


def test_every_bad_file_is_named_with_what_it_is(tmp_path: Path) -> None:
    whole = phantom_files()["t1c"]
    broken = bytearray(whole)
    broken[len(broken) // 2] ^= 0xFF
    files = {
        "scan.png": b"\x89PNG\r\n", "scan.pdf": b"%PDF-1.7", "empty.nii": b"", "words_t1c.nii": b"hello" * 100, "table.csv": b"a,b",
        "cut_t1c.nii.gz": whole[:-500], "broken_t1c.nii.gz": bytes(broken), "text.gz": gzip.compress(b"hello" * 200),
        "a.zip": b"PK\x03\x04 not a zip",
    }  # fmt: skip
    text = refused([Upload(name, content) for name, content in files.items()], tmp_path)
    for words in (
        "scan.png: it is a PNG picture", "scan.pdf: it is a PDF document", "empty.nii: the file is empty",
        "words_t1c.nii: it is named as NIfTI, but its content is not", "table.csv: it is neither NIfTI nor DICOM (.csv)",
        "cut_t1c.nii.gz: the file is damaged or cut short", "broken_t1c.nii.gz: the file is damaged",
        "text.gz: it is compressed, and no NIfTI file is in it", "a.zip: the zip is damaged",
    ):  # fmt: skip
        assert words in text
    assert "Accepted are NIfTI (.nii, .nii.gz), DICOM files, or one zip of them" in text
    assert "Traceback" not in text


def test_a_zip_without_images_says_so(tmp_path: Path) -> None:
    assert "it holds 1 file(s) of other kinds" in refused([Upload("a.zip", zipped({"a.txt": b"x"}))], tmp_path)
