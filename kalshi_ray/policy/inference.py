"""Decisions of a trained network: numpy in, action ids out, the same for a row alone and for a row among many.

Matrix products of a library differ by batch size in the last bit. The kernel here adds the products of each row in
one fixed order without fused operations, so that a decision depends on its own row alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.jit import kernel
from kalshi_ray.errors import ContractError
from kalshi_ray.policy.protocol import PolicyState, keyed_uniform

BLOCK = 32  # rows that share one pass over the weights


@dataclass(frozen=True)
class Network:
    """Dense layers, packed: weights [in, out] of every layer in a row, biases likewise."""

    sizes: NDArray[np.int64]  # [N + 1] widths from input to output
    weights: NDArray[np.float32]
    biases: NDArray[np.float32]
    tanh: bool

    @classmethod
    def pack(
        cls, layers: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]], *, activation: Literal["relu", "tanh"]
    ) -> Network:
        """From (weight [out, in], bias [out]) of each layer, as torch keeps them."""
        for (before, _), (after, _) in pairwise(layers):
            if after.shape[1] != before.shape[0]:
                raise ContractError(f"layers do not join: {before.shape[0]} outputs meet {after.shape[1]} inputs")
        sizes = [layers[0][0].shape[1], *(weight.shape[0] for weight, _ in layers)]
        return cls(
            sizes=np.array(sizes, np.int64),
            weights=np.concatenate([np.ascontiguousarray(weight.T).ravel() for weight, _ in layers]).astype(np.float32),
            biases=np.concatenate([bias for _, bias in layers]).astype(np.float32),
            tanh=activation == "tanh",
        )

    @property
    def inputs(self) -> int:
        """F, features of an observation."""
        return int(self.sizes[0])

    @cached_property
    def widest(self) -> int:
        """Numbers in the widest layer."""
        return int(self.sizes.max())

    @property
    def actions(self) -> int:
        """A, ids of the action space."""
        return int(self.sizes[-1])

    def logits(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits before the mask, [B, A], of observations [B, F]."""
        if observation.ndim != 2 or observation.shape[1] != self.inputs:
            raise ContractError(f"observations of shape {observation.shape}, the network takes [B, {self.inputs}]")
        out = np.empty((len(observation), self.actions), np.float32)
        scratch = np.empty((2, max(1, min(BLOCK, len(observation))), self.widest), np.float32)
        run_layers(observation, self.sizes, self.weights, self.biases, self.tanh, scratch, out)
        return out


class NetworkPolicy:
    """A network as a policy: greedy, or sampled by a key of seed, market and decision index."""

    needs: Literal["actions"] = "actions"

    def __init__(self, name: str, network: Network, *, decide: Literal["greedy", "sampled"] = "greedy") -> None:
        self.name = name
        self.network = network
        self.decide = decide
        self._seed = 0

    def reset(self, views: NDArray[np.uint64], seed: int) -> None:
        """Forget everything; the draws depend on `seed` from here on."""
        del views
        self._seed = seed

    def act(self, state: PolicyState) -> NDArray[np.int64]:
        """One legal action id for each row, [B]."""
        logits = self.network.logits(state.observation)
        actions = np.empty(len(logits), np.int64)
        if self.decide == "greedy":
            best_legal(logits, state.mask, actions)
        else:
            uniform = keyed_uniform(self._seed, state.market, state.decision)
            draw_legal(logits, state.mask, uniform, actions, np.empty(len(logits), np.float32))
        return actions


@kernel
def run_layers(
    observation: NDArray[np.float32],
    sizes: NDArray[np.int64],
    weights: NDArray[np.float32],
    biases: NDArray[np.float32],
    tanh: bool,
    scratch: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Logits of `observation` [B, F] into `out` [B, A]; `scratch` is [2, rows that share a pass, widest layer]."""
    layers = sizes.shape[0] - 1
    rows = observation.shape[0]
    block = scratch.shape[1]
    for first in range(0, rows, block):
        count = min(block, rows - first)
        for r in range(count):
            for i in range(sizes[0]):
                scratch[0, r, i] = observation[first + r, i]
        w_start = 0
        b_start = 0
        for layer in range(layers):
            inputs = sizes[layer]
            outputs = sizes[layer + 1]
            into = scratch[1 - layer % 2, :count]
            bias = biases[b_start : b_start + outputs]
            _dense(scratch[layer % 2, :count], weights, w_start, inputs, outputs, bias, into)
            w_start += inputs * outputs
            b_start += outputs
            if layer < layers - 1:
                _activate(into, outputs, tanh)
        for r in range(count):
            for j in range(sizes[layers]):
                out[first + r, j] = scratch[layers % 2, r, j]


@kernel
def _dense(
    x: NDArray[np.float32],
    weights: NDArray[np.float32],
    start: int,
    inputs: int,
    outputs: int,
    bias: NDArray[np.float32],
    y: NDArray[np.float32],
) -> None:
    """y = bias + x W, added up input by input; eight inputs in a pass, so that sums stay in registers."""
    for r in range(x.shape[0]):
        for j in range(outputs):
            y[r, j] = bias[j]
    whole = inputs - inputs % 8
    for i in range(0, whole, 8):
        at = start + i * outputs
        w0 = weights[at : at + outputs]
        w1 = weights[at + outputs : at + 2 * outputs]
        w2 = weights[at + 2 * outputs : at + 3 * outputs]
        w3 = weights[at + 3 * outputs : at + 4 * outputs]
        w4 = weights[at + 4 * outputs : at + 5 * outputs]
        w5 = weights[at + 5 * outputs : at + 6 * outputs]
        w6 = weights[at + 6 * outputs : at + 7 * outputs]
        w7 = weights[at + 7 * outputs : at + 8 * outputs]
        for r in range(x.shape[0]):
            sums = y[r]
            x0, x1, x2, x3 = x[r, i], x[r, i + 1], x[r, i + 2], x[r, i + 3]
            x4, x5, x6, x7 = x[r, i + 4], x[r, i + 5], x[r, i + 6], x[r, i + 7]
            for j in range(outputs):
                half = (((sums[j] + x0 * w0[j]) + x1 * w1[j]) + x2 * w2[j]) + x3 * w3[j]
                sums[j] = (((half + x4 * w4[j]) + x5 * w5[j]) + x6 * w6[j]) + x7 * w7[j]
    for i in range(whole, inputs):
        weight = weights[start + i * outputs : start + (i + 1) * outputs]
        for r in range(x.shape[0]):
            sums = y[r]
            x0 = x[r, i]
            for j in range(outputs):
                sums[j] += x0 * weight[j]


@kernel
def _activate(y: NDArray[np.float32], outputs: int, tanh: bool) -> None:
    for r in range(y.shape[0]):
        for j in range(outputs):
            if tanh:
                y[r, j] = np.float32(np.tanh(np.float64(y[r, j])))
            else:
                y[r, j] = max(y[r, j], np.float32(0.0))


@kernel
def best_legal(logits: NDArray[np.float32], mask: NDArray[np.bool_], actions: NDArray[np.int64]) -> None:
    """The legal action of the largest logit, the smaller id on a tie, into `actions` [B]; -1 if none is legal."""
    for b in range(logits.shape[0]):
        best = -1
        for a in range(logits.shape[1]):
            if mask[b, a] and (best < 0 or logits[b, a] > logits[b, best]):
                best = a
        actions[b] = best


@kernel
def draw_legal(
    logits: NDArray[np.float32],
    mask: NDArray[np.bool_],
    uniform: NDArray[np.float64],
    actions: NDArray[np.int64],
    logp: NDArray[np.float32],
) -> None:
    """Draw a legal action in proportion to exp(logit) by one uniform number a row; its log probability into `logp`."""
    for b in range(logits.shape[0]):
        top = -np.inf
        for a in range(logits.shape[1]):
            if mask[b, a] and logits[b, a] > top:
                top = np.float64(logits[b, a])
        total = 0.0
        for a in range(logits.shape[1]):
            if mask[b, a]:
                total += np.exp(np.float64(logits[b, a]) - top)
        left = uniform[b] * total
        chosen = -1
        for a in range(logits.shape[1]):
            if mask[b, a]:
                chosen = a
                left -= np.exp(np.float64(logits[b, a]) - top)
                if left < 0.0:
                    break
        actions[b] = chosen
        if chosen >= 0:
            logp[b] = np.float32(np.float64(logits[b, chosen]) - top - np.log(total))
