"""The contrastive forward model's objective and the forward loss against loops, and what they leave out."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dreamerax.dynamics.embedding import Embedded, EmbeddedModule
from dreamerax.dynamics.stochastic import Deterministic
from dreamerax.dynamics.transitions import ActionMatrix
from dreamerax.nets.modules import params_of, with_params
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec, Transition
from dreamerax.world_model.objectives.base import Objective, Seen, Sizes
from dreamerax.world_model.objectives.contrastive_forward import ContrastiveForward
from dreamerax.world_model.objectives.forward import Forward
from tests import plain

B, T, N, EMBED, ACTION = 3, 4, 2, 3, 2
SPEC = EnvSpec({"x": ArraySpec((EMBED,))}, ActionSpec(ACTION))
DYNAMICS = Embedded(ActionMatrix(layers=1, units=4), Deterministic(dims=N), layers=0)
OBJECTIVES = [ContrastiveForward(sharpness=2.0), ContrastiveForward(sharpness=0.5), Forward()]


class Parts(NamedTuple):
  """The part of a world model that the objectives need."""

  dynamics: EmbeddedModule


def steps(length: int = T) -> Transition:
  """An episode begins within the first sequence."""
  rng = np.random.default_rng(0)
  x, action = (rng.normal(size=(B, length, size)).astype(np.float32) for size in (EMBED, ACTION))
  first, flags = np.zeros((B, length), bool), np.zeros((B, length), bool)
  first[0, length // 2] = True
  return Transition({"x": x}, action, np.zeros((B, length), np.float32), first, flags, flags)


@pytest.fixture(scope="module")
def built() -> tuple[EmbeddedModule, dict]:
  return plain.randomised(lambda: DYNAMICS.build(EMBED, ACTION, dtype=jnp.float32, rngs=nnx.Rngs(0)))


def run(module: EmbeddedModule, objective: Objective, steps: Transition):
  """The one loss of the objective, and its gradients into parameters and embeddings, which are the observations."""
  built = objective.build(Sizes(EMBED, N, 0), SPEC, dtype=jnp.float32, rngs=nnx.Rngs(0))
  (name,) = built.scales

  @jax.jit
  def both(params, x):
    def loss(params, x):
      dynamics = with_params(module, params)
      action, first = jnp.asarray(steps.action), jnp.asarray(steps.is_first)
      latents, posterior = dynamics.observe(dynamics.initial(B), action, x, first, jax.random.key(0))
      seen = Seen(steps.observation, x, latents, posterior, dynamics.prior(latents))
      (loss,) = built.losses({}, Parts(dynamics), seen, steps, jnp.int32(0), jax.random.key(1)).values()
      return loss

    return jax.value_and_grad(loss, argnums=(0, 1))(params, x)

  found, (of_params, of_x) = both(params_of(module), steps.observation["x"])
  assert name in ("contrast", "forward")
  return found, of_params, of_x


def by_loop(params: dict, objective: Objective, steps: Transition, x: np.ndarray) -> float:
  z, losses = plain.linear(params["out"], x), []
  pairs = [(b, t) for b in range(B) for t in range(x.shape[1] - 1) if not steps.is_first[b, t + 1]]
  for b, t in pairs:
    transition = params["transition"]
    inside = np.concatenate([z[b, t], steps.action[b, t + 1]])
    entries = plain.linear(transition["out"], plain.plain_mlp(transition["mlp"], inside, plain.relu))
    predicted = np.tanh(entries).reshape(N, N) / np.sqrt(N) @ z[b, t]
    apart = lambda state: 0.5 * ((state - predicted) ** 2).sum()  # noqa: B023, E731
    if isinstance(objective, Forward):
      losses.append(apart(z[b, t + 1]))
      continue
    assert isinstance(objective, ContrastiveForward)
    others = [z[c, s] for c, s in pairs if (c, s) not in ((b, t), (b, t + 1))]
    scores = [-objective.sharpness * apart(state) for state in (z[b, t + 1], *others)]
    losses.append(-scores[0] + np.log(np.exp(scores).sum()))
  return float(np.mean(losses))


@pytest.mark.parametrize("length", [2, T])
@pytest.mark.parametrize("objective", OBJECTIVES, ids=["contrast", "blunt", "forward"])
def test_loss_and_gradients_are_those_of_a_loop(built, objective: Objective, length: int):
  module, params = built
  given = steps(length)
  x = np.float64(given.observation["x"])
  found, of_params, of_x = run(module, objective, given)
  assert found == pytest.approx(by_loop(params, objective, given, x), rel=1e-4)
  kernel, into_kernel = params["transition"]["out"]["kernel"], of_params["transition"]["out"]["kernel"]
  for array, gradient, place in ((x, of_x, (1, 0, 2)), (x, of_x, (2, length - 1, 0)), (kernel, into_kernel, (1, 2))):
    ends, kept = [], array[place]
    for nudge in (1e-5, -1e-5):
      array[place] = kept + nudge
      ends.append(by_loop(params, objective, given, x))
    array[place] = kept
    assert gradient[place] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=2e-3, abs=1e-5)


@pytest.mark.parametrize("objective", OBJECTIVES[1:], ids=["contrast", "forward"])
def test_pairs_of_two_episodes_teach_nothing(built, objective: Objective):
  """Sequences of two steps: in the first one, an episode begins at the second step."""
  module, _ = built
  *_, of_x = run(module, objective, steps(2))
  np.testing.assert_array_equal(np.abs(of_x).max(-1) > 1e-8, [[False, False], [True, True], [True, True]])
  alone = steps(2)._replace(is_first=np.array([[False, True]] * B))
  found, *gradients = run(module, objective, alone)
  assert found == 0 and not any(np.any(x) for x in jax.tree.leaves(gradients))


def check_sharded() -> None:
  """Run in a process that has 8 devices, with one of the 8 sequences on each: pairs are made of all of them."""
  rng, rows = np.random.default_rng(0), 8
  module, _ = plain.randomised(lambda: DYNAMICS.build(EMBED, ACTION, dtype=jnp.float32, rngs=nnx.Rngs(0)))
  x, action = (rng.normal(size=(rows, T, size)).astype(np.float32) for size in (EMBED, ACTION))
  flags = np.zeros((rows, T), bool)
  built = ContrastiveForward().build(Sizes(EMBED, N, 0), SPEC, dtype=jnp.float32, rngs=nnx.Rngs(0))

  def loss(params, x, action, flags):
    dynamics, given = with_params(module, params), Transition({"x": x}, action, x[..., 0], flags, flags, flags)
    latents, posterior = dynamics.observe(dynamics.initial(rows), action, x, flags, jax.random.key(0))
    seen = Seen(given.observation, x, latents, posterior, dynamics.prior(latents))
    (loss,) = built.losses({}, Parts(dynamics), seen, given, jnp.int32(0), jax.random.key(1)).values()
    return loss

  params, both = params_of(module), jax.value_and_grad(loss, argnums=(0, 1))
  alone = jax.jit(both)(params, x, action, flags)
  mesh = Mesh(jax.devices(), ("data",))
  split, whole = NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())
  placed = jax.device_put(params, whole), *(jax.device_put(each, split) for each in (x, action, flags))
  spread = jax.jit(both)(*placed)
  assert len(jax.devices()) == 8 and spread[1][1].sharding.shard_shape(x.shape) == (1, T, EMBED)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), alone, spread)


def test_pairs_are_made_of_the_sequences_of_all_devices(on_eight_devices):
  on_eight_devices("from tests.world_model import test_contrastive_forward as t; t.check_sharded()")


def test_one_point_for_all_states_is_the_best_of_the_forward_loss_and_bad_for_contrast(built):
  module, _ = built
  point = with_params(module, jax.tree.map(jnp.zeros_like, params_of(module)))
  assert run(point, Forward(), steps(2))[0] == 0
  assert run(point, ContrastiveForward(), steps(2))[0] == pytest.approx(np.log(2))  # of two pairs: itself, or the other


def test_factors_that_do_not_exist_are_refused():
  with pytest.raises(ValueError, match="sharpness=0 must be more than 0"):
    ContrastiveForward(sharpness=0)
  with pytest.raises(ValueError, match="scale=-1 must be at least 0"):
    Forward(scale=-1)
