"""Whether this machine can do the work: a line for each thing that has to be there, and its remedy."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Literal

import msgspec
from packaging.requirements import Requirement
from packaging.version import Version

from kalshi_ray.errors import KalshiRayError

State = Literal["ok", "warn", "FAIL"]

GIB = 2**30
LEAST_MEMORY = 4 * GIB
LEAST_DISK, WANTED_DISK = 1 * GIB, 10 * GIB
PYTHON = (3, 11)
DISTRIBUTION = "kalshi-ray"
CONSTRAINTS = Path(__file__).resolve().parents[2] / "constraints.txt"  # beside a checkout; not in an installed wheel
_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+)")
_LOCAL_FILE = re.compile(r"(file://)?(?P<path>/.*|[^:]*)")


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    name: str
    state: State
    found: str
    remedy: str = ""


def checked(name: str, look: Callable[[], Check | Iterable[Check]]) -> list[Check]:
    """What a look found. An error is a finding as well: the rest is still looked at."""
    try:
        found = look()
    except KalshiRayError as problem:
        return [Check(name, "FAIL", str(problem))]
    except Exception as problem:  # whatever a broken installation raises is what was looked for
        return [Check(name, "FAIL", f"{type(problem).__name__}: {problem}")]
    return [found] if isinstance(found, Check) else list(found)


def python() -> Check:
    """The interpreter and the system."""
    found = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info < PYTHON:
        return Check("python", "FAIL", found, f"Use Python {PYTHON[0]}.{PYTHON[1]} or newer")
    if platform.system() != "Linux":
        return Check("python", "warn", found, "Only Linux is tested")
    return Check("python", "ok", found)


def machine() -> Check:
    """Cores and memory that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = memory_bytes()
    found = f"{cores} cores, {memory / GIB:.1f} GiB of memory"
    if memory < LEAST_MEMORY:
        return Check("machine", "warn", found, f"Training wants {LEAST_MEMORY // GIB} GiB")
    return Check("machine", "ok", found)


def memory_bytes(limit: Path = Path("/sys/fs/cgroup/memory.max")) -> int:
    """Memory of the machine, or of the container if that is less."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(whole, int(limit.read_text()))
    except (OSError, ValueError):  # no container, or one without a limit: "max"
        return whole


def packages(constraints: Path = CONSTRAINTS) -> Iterator[Check]:
    """Installed versions against what the code needs, and against the set it was tested with."""
    needed = [Requirement(text) for text in metadata.requires(DISTRIBUTION) or ()]
    missing = [text for one in needed for text in _unmet(one)]
    if missing:
        yield Check("packages", "FAIL", "; ".join(missing), "pip install -c constraints.txt -e .")
    else:
        yield Check("packages", "ok", f"{_without_extras(needed)} needed, all there")
    if not constraints.is_file():
        return
    other = [text for text in map(_differs, constraints.read_text(encoding="utf-8").splitlines()) if text]
    if other:
        listed = ", ".join(other[:5]) + (f" and {len(other) - 5} more" if len(other) > 5 else "")
        yield Check("tested set", "warn", f"not as in constraints.txt: {listed}", "pip install -c constraints.txt -e .")
    else:
        yield Check("tested set", "ok", "as in constraints.txt")


def disk(places: dict[str, str]) -> Iterator[Check]:
    """Free space where things are written; places that are no folders are somebody else's."""
    seen: set[int] = set()
    for name, place in places.items():
        folder = nearest_folder(place)
        if folder is None or folder.stat().st_dev in seen:
            continue
        seen.add(folder.stat().st_dev)
        free = shutil.disk_usage(folder).free
        found = f"{free / GIB:.1f} GiB free for {name} at {folder}"
        if free < LEAST_DISK:
            yield Check("disk", "FAIL", found, f"Free some, or set places.{name} to another disk")
        elif free < WANTED_DISK:
            yield Check("disk", "warn", found, f"A day of recording takes gigabytes; places.{name} chooses the disk")
        else:
            yield Check("disk", "ok", found)


def nearest_folder(place: str) -> Path | None:
    """The folder of a place, or the nearest above it that exists; None where it is a URL of another kind."""
    found = _LOCAL_FILE.fullmatch(place)
    if not found:
        return None
    path = Path(found["path"]).absolute()
    return next((one for one in (path, *path.parents) if one.is_dir()), None)


def is_writable(folder: Path) -> bool:
    """Whether a file can be made there, tried: what the permission bits say is not all."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def store(url: str) -> Check:
    """Whether sessions can be read and written."""
    from kalshi_ray.data.store import open_store  # on call: pyarrow may be what is broken

    folder = nearest_folder(url)
    if folder is not None and not is_writable(folder):
        return Check("store", "FAIL", f"{folder} is not writable", "Change its permissions, or set places.store")
    opened = open_store(url)
    found = opened.list()
    bad = [one.id for one in found if one.state in ("damaged", "unfinished")]
    held = f"{len(found)} sessions in {opened.url}"
    if bad:
        return Check("store", "warn", f"{held}, of which {', '.join(bad[:3])} unusable", "kalshi-ray sessions list")
    if not found:
        return Check("store", "warn", f"no sessions in {opened.url}", "kalshi-ray quickstart makes some")
    return Check("store", "ok", held)


def kernels() -> Check:
    """Where compiled kernels are kept."""
    from kalshi_ray.core import jit  # on call: numba may be what is broken

    if not jit.COMPILED:
        return Check("kernels", "warn", "NUMBA_DISABLE_JIT is set: a hundred times slower", "Unset it")
    try:
        folder = jit.cache_folder(Path(jit.__file__))
    except OSError as problem:
        return Check("kernels", "FAIL", str(problem), "Set NUMBA_CACHE_DIR to a folder that can be written")
    if not is_writable(folder):
        return Check("kernels", "FAIL", f"{folder} is not writable", "Set NUMBA_CACHE_DIR to another folder")
    return Check("kernels", "ok", f"compiled kernels in {folder.parent}")


def _unmet(requirement: Requirement) -> Iterator[str]:
    """What is wrong with an installed package, in words. Extras are for tests and benchmarks."""
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
        return
    version = _version(requirement.name)
    if version is None:
        yield f"{requirement.name} is missing"
    elif not requirement.specifier.contains(version, prereleases=True):
        yield f"{requirement.name} {version} is installed and {requirement.specifier} needed"


def _without_extras(needed: Iterable[Requirement]) -> int:
    return sum(one.marker is None or one.marker.evaluate({"extra": ""}) for one in needed)


def _differs(line: str) -> str:
    """How an installed package differs from a pinned one; nothing where it is not installed."""
    pin = _PIN.fullmatch(line.strip())
    version = None if pin is None else _version(pin["name"])
    if pin is None or version is None or Version(version).public == Version(pin["version"]).public:
        return ""
    return f"{pin['name']} {version}, tested {pin['version']}"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
