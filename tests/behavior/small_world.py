"""A world small enough to write down, and the networks that act and judge in it, one number at a time."""

import math

import jax
import numpy as np

from dreamerax.behavior.imagination import World
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec
from tests import plain

F, ACTION = 2, 2
SPEC = EnvSpec({"x": ArraySpec((F,))}, ActionSpec(ACTION))
BINS = np.sign(e := np.linspace(-20, 20, 11)) * np.expm1(np.abs(e))


def make_world(gain):
  """The state moves by `gain` times the action; reward is what its first entry exceeds, continuing falls with the second."""
  return World(
    step=lambda latent, action, key: {"x": 0.9 * latent["x"] + gain * action},
    expect=lambda latent, action: {"x": 0.9 * latent["x"] + gain * action},
    features=lambda latent: latent["x"],
    reward=lambda x: 3 * x[..., 0] + 1,
    continues=lambda x: jax.nn.sigmoid(2 + x[..., 1]),
    encode=lambda observation, key: observation["x"],
    glance=lambda embed, key: embed,
  )


def critic_logits(params, x):
  return plain.linear(params["out"], plain.mlp(params["mlp"], x[None]))[0]


def log_softmax(x):
  return x - x.max() - math.log(np.exp(x - x.max()).sum())


def value(params, x):
  return float((np.exp(log_softmax(critic_logits(params, x))) * BINS).sum())


def cross_entropy(params, x, target):
  log_probs = log_softmax(critic_logits(params, x))
  above = next(i for i, b in enumerate(BINS) if b > target)
  share = (target - BINS[above - 1]) / (BINS[above] - BINS[above - 1])
  return -((1 - share) * log_probs[above - 1] + share * log_probs[above])


def policy(params, x):
  hidden = plain.mlp(params["mlp"], x[None])[0]
  mean, raw = (plain.linear(params["out"][name], hidden) for name in ("mean", "std"))
  return np.tanh(mean), 0.1 + 0.9 * plain.sigmoid(raw + 2)
