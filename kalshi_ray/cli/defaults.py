"""Defaults of the libraries we use which differ from the documents'; a test compares them with the libraries."""

from __future__ import annotations

from typing import Any, NamedTuple


class LibraryDefault(NamedTuple):
    """One option: what the library would do, what the documents ask for, and the setting that decides here."""

    library: str
    option: str
    default: Any
    documents: Any
    setting: str  # "" where it is not a setting but fixed by what we do


RLLIB = "RLlib PPO"
RLLIB_MODEL = "RLlib model"

LIBRARY_DEFAULTS: tuple[LibraryDefault, ...] = (
    LibraryDefault(RLLIB, "lr", 5e-05, 1e-4, "train.learning_rate"),
    LibraryDefault(RLLIB, "train_batch_size_per_learner", 4000, 4096, "train.batch"),
    LibraryDefault(RLLIB, "minibatch_size", 128, 256, "train.minibatch"),
    LibraryDefault(RLLIB, "num_epochs", 30, 10, "train.epochs"),
    LibraryDefault(RLLIB, "lambda_", 1.0, 0.95, "train.gae_lambda"),
    LibraryDefault(RLLIB, "clip_param", 0.3, 0.2, "train.clip"),
    LibraryDefault(RLLIB, "entropy_coeff", 0.0, 0.05, "train.entropy"),
    LibraryDefault(RLLIB, "vf_loss_coeff", 1.0, 0.5, "train.value_coeff"),
    LibraryDefault(RLLIB, "grad_clip", None, 0.5, "train.grad_clip"),
    LibraryDefault(RLLIB, "vf_clip_param", 10.0, float("inf"), ""),
    LibraryDefault(RLLIB, "use_kl_loss", True, False, ""),
    LibraryDefault(RLLIB_MODEL, "fcnet_hiddens", [256, 256], [256, 256, 128], "train.network"),
    LibraryDefault(RLLIB_MODEL, "fcnet_activation", "tanh", "relu", "train.network"),
    LibraryDefault(RLLIB_MODEL, "vf_share_layers", True, False, "train.network"),
)
