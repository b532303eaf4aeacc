"""All sections of the settings file. Each settings record lives beside the code it sets."""

from __future__ import annotations

import msgspec


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where sessions live."""

    url: str = "store"  # a folder, file:// or any URL that pyarrow.fs opens, such as s3://bucket/sessions


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One TOML file: a table for each field."""

    store: StoreSettings = StoreSettings()
