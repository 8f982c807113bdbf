"""A head that learns from features and teaches them nothing."""

from dataclasses import dataclass, field
from typing import Any

import jax
from flax import nnx

from dreamerax.nets.heads import ScalarHead, ScalarHeadModule, TwoHotHead
from dreamerax.ops.distributions import Prediction


@dataclass(frozen=True)
class StoppedHead(ScalarHead):
  """Any head, whose likelihood gives the features no gradient, while that of its mean reaches them.

  As the reward of a world model, it leaves what the model represents to the other losses, and policies can still learn
  by gradients through the predicted reward.
  """

  head: ScalarHead = field(default_factory=TwoHotHead)

  def build(self, inputs: int, *, dtype: Any, rngs: nnx.Rngs) -> "StoppedHeadModule":
    return StoppedHeadModule(self.head.build(inputs, dtype=dtype, rngs=rngs))


class StoppedHeadModule(ScalarHeadModule):
  """Built from `StoppedHead`."""

  def __init__(self, head: ScalarHeadModule):
    self.head = head

  def __call__(self, features: jax.Array) -> "Stopped":
    return Stopped(self.head(features), self.head(jax.lax.stop_gradient(features)))


class Stopped:
  """One distribution twice: its mean is of `live`, its likelihood of `stopped`."""

  def __init__(self, live: Prediction, stopped: Prediction):
    self._live, self._stopped = live, stopped

  def mean(self) -> jax.Array:
    return self._live.mean()

  def log_prob(self, value: jax.Array) -> jax.Array:
    return self._stopped.log_prob(value)
