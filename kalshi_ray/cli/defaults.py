"""Defaults of the libraries we use which differ from ours; a test compares the middle column with the library."""

from __future__ import annotations

# (library, its option, its default, what we use and from where)
LIBRARY_DEFAULTS: tuple[tuple[str, str, str, str], ...] = ()
