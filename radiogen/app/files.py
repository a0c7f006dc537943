"""From what was dropped on the page to files in a folder: size limits, zips that cannot harm, kinds told from the content."""

from __future__ import annotations

import re
import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from gzip import BadGzipFile, GzipFile
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Protocol, runtime_checkable

from radiogen.config.app import MEGABYTE, AppSettings
from radiogen.errors import InputError

ACCEPTED = "NIfTI (.nii, .nii.gz), DICOM files, or one zip of them"
NIFTI, DICOM = "nifti", "dicom"

_CHUNK = 1024 * 1024
_DICOM_SUFFIXES = (".dcm", ".ima", ".dicom")
_NIFTI_MAGIC_AT = {344: (b"n+1\0", b"ni1\0"), 4: (b"n+2\0", b"ni2\0")}
_HEADER_BYTES = 352
_KNOWN_CONTENT = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"%PDF": "a PDF document",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"NRRD": "an NRRD image",
    b"PK\x03\x04": "a zip inside a zip",
}
_DAMAGED = (zipfile.BadZipFile, BadGzipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


@dataclass(frozen=True)
class Upload:
    """One file as the browser sent it.

    Args:
        name: as the user's machine calls it.
        content: its bytes.
    """

    name: str
    content: bytes


@dataclass(frozen=True)
class Stored:
    """One file on disk, under a name of our own.

    Args:
        path: where it stands.
        name: what the user calls it, with the folders of a zip; it may name a patient, so it is shown and never written.
        kind: `nifti` or `dicom`.
    """

    path: Path
    name: str
    kind: str


@dataclass(frozen=True)
class Received:
    """What was dropped on the page.

    Args:
        files: what can be used.
        passed_over: names of files in a zip that are no images.
    """

    files: list[Stored]
    passed_over: list[str] = field(default_factory=list)


def receive(uploads: Sequence[Upload], folder: Path, settings: AppSettings) -> Received:
    """Write uploaded files into a folder, zips unpacked; nothing is written outside it.

    Args:
        uploads: NIfTI files, DICOM files, zips of them.
        folder: empty; gets `nifti/` and `dicom/`.
        settings: limits.

    Raises:
        InputError: files are too large, too many, damaged or of another kind; every reason is listed.
    """
    total_mb = sum(len(upload.content) for upload in uploads) / MEGABYTE
    if total_mb > settings.max_upload_mb:
        raise InputError(
            f"The files have {total_mb:.0f} MB together; up to {settings.max_upload_mb} MB are accepted.",
            hint="Drop the four sequences of one visit only, or start the app with a larger --max-upload-mb.",
        )
    writer = _Writer(folder, settings)
    for upload in uploads:
        writer.add(upload)
    if writer.problems:
        raise InputError(
            f"{len(writer.problems)} file(s) cannot be used:",
            problems=writer.problems,
            hint=f"Accepted are {ACCEPTED}.",
        )
    if not writer.files:
        held = f": it holds {len(writer.passed_over)} file(s) of other kinds" if writer.passed_over else ""
        raise InputError(f"There is no image in what was dropped{held}.", hint=f"Accepted are {ACCEPTED}.")
    return Received(writer.files, writer.passed_over)


@runtime_checkable
class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _TooMuchError(Exception):
    """The unpacked files are over a limit; says which."""


class _Writer:
    def __init__(self, folder: Path, settings: AppSettings) -> None:
        self.folder, self.settings = folder, settings
        self.files: list[Stored] = []
        self.passed_over: list[str] = []
        self.problems: list[str] = []
        self.bytes_left = settings.max_unpacked_mb * MEGABYTE

    def add(self, upload: Upload) -> None:
        """Take one uploaded file, or say why not."""
        is_zip = upload.content.startswith(b"PK") or upload.name.lower().endswith(".zip")
        try:
            if is_zip:
                self._unpack(upload)
            else:
                self._one(upload.name, BytesIO(upload.content), in_zip=False)
        except _TooMuchError as error:
            self.problems.append(f"{upload.name}: {error}")
        except _DAMAGED:
            words = (
                "the zip is damaged or cut short, or packed in a way that is not known"
                if is_zip
                else "the file is damaged or cut short"
            )
            self.problems.append(f"{upload.name}: {words}")

    def _unpack(self, upload: Upload) -> None:
        with zipfile.ZipFile(BytesIO(upload.content)) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            problem = _zip_problem(members, self.settings)
            if problem:
                self.problems.append(f"{upload.name}: {problem}")
                return
            for member in members:
                if _is_litter(member.filename):
                    continue
                with archive.open(member) as content:
                    self._one(member.filename, content, in_zip=True)

    def _one(self, name: str, content: _Readable, *, in_zip: bool) -> None:
        """Write one file under a number; files of a zip that are no images are passed over."""
        start = content.read(_CHUNK)
        kind, problem = _kind(name, start)
        if not kind and in_zip:
            self.passed_over.append(name)
            return
        if not kind:
            self.problems.append(f"{name}: {problem}")
            return
        if len(self.files) >= self.settings.max_files:
            raise _TooMuchError(f"more than {self.settings.max_files} files")
        path = self._place(name, kind, start)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as out:
            for chunk in _chunks(start, content):
                self._count(len(chunk))
                out.write(chunk)
        if start.startswith(b"\x1f\x8b"):
            self._check_gzip(path)
        self.files.append(Stored(path, name, kind))

    def _place(self, name: str, kind: str, start: bytes) -> Path:
        number = f"{len(self.files) + 1:05d}"
        if kind == NIFTI:
            return self.folder / NIFTI / f"{number}{'.nii.gz' if start.startswith(bytes([0x1F, 0x8B])) else '.nii'}"
        # Names of folders say which sequence a series is; anything but letters and digits is taken out of them.
        below = [
            re.sub(r"[^A-Za-z0-9_+-]", "_", part)[:60] for part in PurePosixPath(name.replace("\\", "/")).parts[:-1]
        ]
        return self.folder.joinpath(DICOM, *below[-6:], f"{number}.dcm")

    def _check_gzip(self, path: Path) -> None:
        """Unpack a file without keeping it: damage shows here, and so does a small file that would fill the memory."""
        with GzipFile(path) as unpacked:
            while chunk := unpacked.read(_CHUNK):
                self._count(len(chunk))

    def _count(self, n_bytes: int) -> None:
        self.bytes_left -= n_bytes
        if self.bytes_left < 0:
            raise _TooMuchError(f"more than {self.settings.max_unpacked_mb} MB after unpacking")


def _chunks(start: bytes, rest: _Readable) -> Iterator[bytes]:
    chunk = start
    while chunk:
        yield chunk
        chunk = rest.read(_CHUNK)


def _zip_problem(members: Sequence[zipfile.ZipInfo], settings: AppSettings) -> str:
    """Return why a zip is not unpacked at all, empty when it is; sizes are counted again while unpacking, since a zip may lie about them."""
    if any(_leads_outside(member.filename) for member in members):
        return "it holds a path that leads out of its folder; make the zip anew"
    if any(stat.S_ISLNK(member.external_attr >> 16) for member in members):
        return "it holds a link; zip the files themselves"
    if any(member.flag_bits & 1 for member in members):
        return "it is encrypted; zip the files without a password"
    if len(members) > settings.max_files:
        return f"it holds {len(members)} files; up to {settings.max_files} are accepted"
    unpacked_mb = sum(member.file_size for member in members) / MEGABYTE
    if unpacked_mb > settings.max_unpacked_mb:
        return f"it unpacks to {unpacked_mb:.0f} MB; up to {settings.max_unpacked_mb} MB are accepted"
    return ""


def _leads_outside(name: str) -> bool:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return ".." in parts or name.startswith(("/", "\\")) or bool(re.match(r"[A-Za-z]:", name)) or "\0" in name


def _is_litter(name: str) -> bool:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return any(part.startswith(".") or part == "__MACOSX" for part in parts) or parts[-1].lower() in (
        "thumbs.db",
        "desktop.ini",
    )


def _kind(name: str, start: bytes) -> tuple[str, str]:
    """Return `nifti` or `dicom`, told from the content, or an empty string and what the file is instead."""
    lower = name.lower()
    if start[128:132] == b"DICM" or lower.endswith(_DICOM_SUFFIXES):
        return DICOM, ""
    if start.startswith(b"\x1f\x8b"):
        return _kind_of_gzip(lower, start)
    if _is_nifti(start):
        return NIFTI, ""
    if not start:
        return "", "the file is empty"
    known = next((words for magic, words in _KNOWN_CONTENT.items() if start.startswith(magic)), "")
    if known:
        return "", f"it is {known}"
    if lower.endswith((".nii", ".nii.gz")):
        return "", "it is named as NIfTI, but its content is not"
    return "", f"it is neither NIfTI nor DICOM ({PurePosixPath(lower).suffix or 'no extension'})"


def _kind_of_gzip(lower: str, start: bytes) -> tuple[str, str]:
    try:
        header = zlib.decompressobj(wbits=31).decompress(start, _HEADER_BYTES)
    except zlib.error:
        return ("", "the compressed file is damaged") if lower.endswith(".nii.gz") else ("", "it is a damaged archive")
    if _is_nifti(header) or (lower.endswith(".nii.gz") and len(header) < _HEADER_BYTES):
        return NIFTI, ""
    return "", "it is compressed, and no NIfTI file is in it"


def _is_nifti(header: bytes) -> bool:
    return any(header[at : at + 4] in words for at, words in _NIFTI_MAGIC_AT.items())
