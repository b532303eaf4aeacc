"""Bundles, and the registry that holds them: a model is never loaded where it does not belong."""

from kalshi_ray.registry.bundle import Bundle, Contract, Layout, Manifest, contract_of, load_bundle, save_bundle
from kalshi_ray.registry.models import Alias, ModelSummary, Registry, open_registry
from kalshi_ray.registry.uses import TestSet, TestUse, digest_of

__all__ = [
    "Alias",
    "Bundle",
    "Contract",
    "Layout",
    "Manifest",
    "ModelSummary",
    "Registry",
    "TestSet",
    "TestUse",
    "contract_of",
    "digest_of",
    "load_bundle",
    "open_registry",
    "save_bundle",
]
