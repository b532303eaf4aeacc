"""`@kernel`: compiled functions over records, cached for every process of the machine.

Numba's own cache notices an edit in the file of a function, but not in the files of the functions it calls. The
cache folder of a module is therefore named by a digest of its source and of every source of ours that it imports,
directly or not. With NUMBA_DISABLE_JIT=1 the same functions run as plain Python over `as_rows` views.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numba
import numpy as np
from numba.core import config
from numba.core import types as numba_types
from numpy.typing import NDArray

P = ParamSpec("P")
R = TypeVar("R")

types: Any = numba_types  # whose annotations leave most of it out
COMPILED = not config.DISABLE_JIT
_IMPORT = re.compile(r"^\s*(?:from|import) +kalshi_ray([\w.]*)(?: +import +(\([^)]*\)|.*))?", re.MULTILINE)


@cache
def _imported(source: Path) -> frozenset[Path]:
    """Files of this package that `source` names in its imports, wherever in it they stand."""
    package = Path(__file__).resolve().parent.parent
    found: set[Path] = set()
    for path, names in _IMPORT.findall(source.read_text(encoding="utf-8")):
        module = package.joinpath(*path.strip(".").split("."))
        candidates = [module.with_suffix(".py"), module / "__init__.py"]
        candidates += [module / f"{name}.py" for name in re.findall(r"\w+", names)]
        # Modules that stand alone (errors, telemetry, config) hold nothing that a kernel could read.
        found.update(each for each in candidates if each.parent != package and each.is_file())
    return frozenset(found)


@cache
def sources_digest(source: Path) -> str:
    """Hash of a source file, of all files of ours that it imports in the end, and of the compiler's version."""
    reached, waiting = set[Path](), [source.resolve(), Path(__file__).resolve()]
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting.extend(_imported(path))
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(reached):
        digest.update(str(path).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:20]


@cache
def cache_folder(source: Path) -> Path:
    """Where kernels of a file live: NUMBA_CACHE_DIR if set, else the user's cache, else the temporary folder."""
    homes = [Path(config.CACHE_DIR)] if config.CACHE_DIR else []
    homes += [Path.home() / ".cache" / "kalshi_ray", Path(tempfile.gettempdir()) / f"kalshi_ray-{os.getuid()}"]
    for home in homes:
        folder = home / "kernels" / sources_digest(source)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    tried = ", ".join(map(str, homes))
    raise OSError(f"no folder for compiled kernels is writable: tried {tried}; set NUMBA_CACHE_DIR")


def _compile_alike(template: Callable[..., Any], arguments: Any, named: Any) -> Any:
    """Compile a callee once for int64, not once more for every constant and every width that callers pass."""
    return template([_widened(kind) for kind in arguments], {name: _widened(kind) for name, kind in named.items()})


def _widened(kind: Any) -> Any:
    plain = types.unliteral(kind)
    return types.int64 if isinstance(plain, types.Integer) and plain.bitwidth < 64 else plain


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` on first call: no Python objects, no GIL, no bounds checks, IEEE arithmetic.

    Kernels write into arrays they are given and make none, so that numba need not count references (`_nrt`): a fifth
    of the time of an environment step otherwise.
    """
    chosen = config.CACHE_DIR
    config.CACHE_DIR = str(cache_folder(Path(function.__code__.co_filename)))
    try:
        compiled = numba.njit(cache=True, nogil=True, error_model="numpy", _nrt=False)(function)
    finally:
        config.CACHE_DIR = chosen
    if COMPILED:
        compiled.get_call_template = partial(_compile_alike, compiled.get_call_template)
    return cast("Callable[P, R]", compiled)


class FieldsFirst(np.record):  # type: ignore[misc]  # final in numpy's stubs, not in numpy
    """A record whose fields win over the attributes of numpy's scalars (`size`, `flags`), as they do when compiled."""

    def __getattribute__(self, name: str) -> Any:
        field = (np.record.__getattribute__(self, "dtype").fields or {}).get(name)
        if field is None:
            return np.record.__getattribute__(self, name)
        value = np.record.__getattribute__(self, "getfield")(*field[:2])
        return value.view(_fields_first(value.dtype)) if value.dtype.names else value


def _fields_first(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype((FieldsFirst, dtype))


def as_rows(array: NDArray[Any]) -> NDArray[Any]:
    """The array as kernels want it: plain when compiled, with named fields as attributes when not."""
    return array if COMPILED or array.dtype.names is None else array.view(_fields_first(array.dtype))


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """The array, locked: numba compiles locked and open arrays apart, and those of the object store are locked."""
    array.setflags(write=False)
    return array
