"""A model as one file: its bundle, what was found out about it, and which aliases named it.

<file>.tar | <file>.zip    <id>/weights.safetensors, probe.npz, manifest.sha256, manifest.json
                           <id>/verdicts.jsonl, history.jsonl
                           <id>/sha256sums     of all the others

The same model gives the same bytes. A file is checked entirely before anything of it becomes visible.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TypeVar

import msgspec

from kalshi_ray.data.files import PARTIAL, disk_error, open_files
from kalshi_ray.errors import ContractError, DataError, UnknownName, UsageError
from kalshi_ray.registry.aliases import Alias
from kalshi_ray.registry.bundle import FILES, MANIFEST, Bundle, Contents, read_contents, sha256_of
from kalshi_ray.registry.models import Registry
from kalshi_ray.registry.verdicts import VERDICTS, Verdict

HISTORY = "history.jsonl"  # moves of aliases to and from this model, where it came from
SUMS = "sha256sums"
KNOWN = (*FILES, VERDICTS, HISTORY, SUMS)
MOST_BYTES = 512 * 2**20  # of one file of a model
KINDS = (".tar", ".zip")

Line = TypeVar("Line", bound=msgspec.Struct)

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that zip knows
_BASELINES3 = {"policy.pth", "pytorch_variables.pth", "policy.optimizer.pth", "_stable_baselines3_version"}
_PICKLES = (".pkl", ".pth", ".pt", ".pickle")


def export_model(registry: Registry, spec: str, path: Path) -> Bundle:
    """Write a registered model into a file that does not exist yet; .tar or .zip by its name."""
    if path.suffix not in KINDS:
        raise UsageError(f"{path} is neither a .tar nor a .zip", remedy="Name it MODEL.tar")
    if path.exists():
        raise UsageError(f"{path} is already there", remedy="Choose another name")
    model = registry.require(spec)
    bundle = registry.load(model)
    contents = {**registry.contents(model), **_found_out(registry, model)}
    contents[SUMS] = _sums(contents)
    members = {f"{model}/{name}": contents[name] for name in KNOWN if name in contents}
    aside = path.with_name(path.name + PARTIAL)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(_tar(members) if path.suffix == ".tar" else _zip(members))
        aside.rename(path)
    except OSError as error:
        raise disk_error(str(path), error) from error
    finally:
        aside.unlink(missing_ok=True)
    return bundle


def import_model(registry: Registry, path: Path) -> Bundle:
    """Check a file that `export_model` wrote, or the folder of a bundle, and put it into the registry.

    Its verdicts come too, marked as imported. Aliases stay as they are here.
    """
    if path.is_dir():
        folder, held = "", dict(read_contents(open_files(str(path)), str(path)))
        held |= {name: (path / name).read_bytes() for name in (VERDICTS, HISTORY) if (path / name).is_file()}
    elif path.is_file():
        folder, held = _unpacked(path)
    else:
        raise UnknownName("file or folder", str(path), ["what `kalshi-ray models export` wrote, or a bundle"])
    verdicts = _lines(held.pop(VERDICTS, b""), Verdict, f"{path}: {VERDICTS}")
    verdicts = [msgspec.structs.replace(verdict, imported=True) for verdict in verdicts]
    moves = _lines(held.get(HISTORY, b""), Alias, f"{path}: {HISTORY}")
    extra = {HISTORY: msgspec.json.Encoder().encode_lines(moves)} if moves else {}
    if verdicts:
        extra[VERDICTS] = msgspec.json.Encoder().encode_lines(verdicts)
    bundle = registry.put(held, str(path), extra=extra, model=folder)
    registry.keep_verdicts(bundle.manifest.id, verdicts)
    return bundle


def _found_out(registry: Registry, model: str) -> Contents:
    encoder = msgspec.json.Encoder()
    verdicts = registry.verdicts(model)
    moves = [move for move in registry.history() if model in (move.model, move.previous)]
    return {name: encoder.encode_lines(lines) for name, lines in ((VERDICTS, verdicts), (HISTORY, moves)) if lines}


def _sums(contents: Contents) -> bytes:
    """As `sha256sum -c` reads it, in the order of KNOWN."""
    return "".join(f"{sha256_of(contents[name])}  {name}\n" for name in KNOWN if name in contents).encode()


def _lines(raw: bytes, kind: type[Line], where: str) -> list[Line]:
    try:
        return msgspec.json.Decoder(kind).decode_lines(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{where} cannot be read: {error}") from error


def _tar(members: Contents) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as packed:
        for name, raw in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(raw)
            packed.addfile(member, io.BytesIO(raw))
    return stream.getvalue()


def _zip(members: Contents) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as packed:
        for name, raw in members.items():
            member = zipfile.ZipInfo(name, _EPOCH)
            member.external_attr = 0o644 << 16
            member.create_system = 3  # whatever system writes it
            packed.writestr(member, raw)
    return stream.getvalue()


def _unpacked(path: Path) -> tuple[str, dict[str, bytes]]:
    """The folder's name and the files of a model in an archive. Refuses whatever an export would not hold."""
    try:
        with path.open("rb") as stream:
            is_zip = stream.read(2) == b"PK"  # a tar may hold a zip, so nothing further in tells
            stream.seek(0)
            found = dict(_zip_members(stream, path) if is_zip else _tar_members(stream, path))
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path} is no model that was exported: {error}", remedy="Export it again") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}") from error
    folders = {name.rpartition("/")[0] for name in found}
    if len(folders) != 1 or "" in folders:
        raise DataError(f"{path} holds {len(folders)} models, expected one folder", remedy="Export one model a file")
    contents = {name.rpartition("/")[2]: raw for name, raw in found.items()}
    if MANIFEST not in contents:
        raise DataError(f"{path} lacks {MANIFEST}", remedy="Export it again")
    if contents.pop(SUMS, b"") != _sums(contents):
        raise DataError(f"{path} is not what was exported: its files do not match {SUMS}", remedy="Copy it again")
    return folders.pop(), contents


def _tar_members(stream: IO[bytes], path: Path) -> Iterator[tuple[str, bytes]]:
    seen: set[str] = set()
    with tarfile.open(fileobj=stream, mode="r:") as packed:
        for member in packed:
            if not member.isreg():
                raise _refused(path, member.name, "is no plain file")
            _check_member(path, member.name, member.size, seen)
            held = packed.extractfile(member)
            if held is None:
                raise _refused(path, member.name, "cannot be read")
            yield member.name, held.read()


def _zip_members(stream: IO[bytes], path: Path) -> Iterator[tuple[str, bytes]]:
    seen: set[str] = set()
    with zipfile.ZipFile(stream) as packed:
        _refuse_foreign(path, {member.filename.rpartition("/")[2] for member in packed.infolist()})
        for member in packed.infolist():
            kind = member.external_attr >> 16 & 0o170000
            if member.is_dir() or kind not in (0, 0o100000):
                raise _refused(path, member.filename, "is no plain file")
            _check_member(path, member.filename, member.file_size, seen)
            with packed.open(member) as held:
                raw = held.read(member.file_size + 1)
            if len(raw) != member.file_size:
                raise _refused(path, member.filename, "is longer than it says")
            yield member.filename, raw


def _refuse_foreign(path: Path, names: set[str]) -> None:
    if names & _BASELINES3:
        kind = "a model of Stable-Baselines3"
    elif any(name.endswith(_PICKLES) for name in names):
        kind = "pickled by Python or torch"
    else:
        return
    raise ContractError(
        f"{path} is {kind}: it is never opened here, and says neither what its actions nor what its features mean",
        remedy="Train again with kalshi-ray train, which writes a bundle",
    )


def _check_member(path: Path, name: str, size: int, seen: set[str]) -> None:
    folder, _, file = name.rpartition("/")
    if file not in KNOWN or "/" in folder or "\\" in name or folder in ("", ".", ".."):
        raise _refused(path, name, f"is none of {', '.join(KNOWN)} in one folder")
    if size > MOST_BYTES:
        raise _refused(path, name, f"has {size:,} bytes, at most {MOST_BYTES:,}")
    if name in seen:
        raise _refused(path, name, "stands there twice")
    seen.add(name)


def _refused(path: Path, name: str, why: str) -> DataError:
    return DataError(f"{path} is refused: {name!r} {why}", remedy="Nothing was imported; export the model again")
