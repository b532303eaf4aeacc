"""Bundles, and the registry that holds them: a model is never loaded where it does not belong."""

from kalshi_ray.registry.aliases import Alias
from kalshi_ray.registry.bundle import Bundle, load_bundle, save_bundle
from kalshi_ray.registry.manifest import Contract, Layout, Manifest, contract_of
from kalshi_ray.registry.models import ModelSummary, Registry, Rollback, open_registry
from kalshi_ray.registry.uses import TestSet, TestUse, digest_of
from kalshi_ray.registry.verdicts import Verdict

__all__ = [
    "Alias",
    "Bundle",
    "Contract",
    "Layout",
    "Manifest",
    "ModelSummary",
    "Registry",
    "Rollback",
    "TestSet",
    "TestUse",
    "Verdict",
    "contract_of",
    "digest_of",
    "load_bundle",
    "open_registry",
    "save_bundle",
]
