"""Objectives without a decoder against NumPy loops, and whom their gradients reach."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.agent import Agent
from dreamerax.nets.decoders import ConvDecoder
from dreamerax.nets.modules import params_of, with_params
from dreamerax.types import Transition
from dreamerax.world_model.objectives.barlow import Barlow
from dreamerax.world_model.objectives.base import Objective, Seen, Sizes
from dreamerax.world_model.objectives.infonce import InfoNCE
from dreamerax.world_model.objectives.kl import FreeBits
from dreamerax.world_model.objectives.probe import Probe
from tests import tiny

ROWS, LENGTH, EMBED, FEATURES = 4, 5, 3, 6
SIZES = Sizes(embed=EMBED, features=FEATURES, recurrent=4)


class Model:
  """Latents that are their features."""

  def features(self, latent):
    return latent["x"]


def build(objective: Objective):
  return objective.build(SIZES, tiny.VECTOR, dtype=jnp.float32, rngs=nnx.Rngs(0))


def seen(seed: int = 0) -> Seen:
  rng = np.random.default_rng(seed)
  draw = lambda *shape: rng.normal(size=(ROWS, LENGTH, *shape)).astype(np.float32)  # noqa: E731
  return Seen(tiny.observation(tiny.VECTOR, ROWS, LENGTH), draw(EMBED), {"x": draw(FEATURES)}, draw(2), draw(2))


def steps() -> Transition:
  """In the second row an episode begins at the third step."""
  none = np.zeros((ROWS, LENGTH), bool)
  is_first = none.copy()
  is_first[1, 2] = True
  return Transition({}, np.zeros((ROWS, LENGTH, 2), np.float32), none.astype(np.float32), is_first, none, none)


def losses(module, given: Seen):
  """The losses, and their sum's gradients into parameters, features and embedding."""

  @jax.jit
  def both(params, features, embed):
    def total(params, features, embed):
      found = with_params(module, params).losses(
        {}, Model(), given._replace(latents={"x": features}, embed=embed), steps(), jnp.int32(0), jax.random.key(0)
      )
      return sum((loss.mean() for loss in found.values()), start=jnp.float32(0)), found

    return jax.grad(total, argnums=(0, 1, 2), has_aux=True)(params, features, embed)

  gradients, found = both(params_of(module), given.latents["x"], given.embed)
  return found, gradients


def barlow_by_loop(kernel: np.ndarray, features: np.ndarray, embed: np.ndarray, redundancy: float) -> float:
  one, other = (features.reshape(-1, FEATURES) @ kernel).T, embed.reshape(-1, EMBED).T  # [E, N]
  count, total = one.shape[1], 0.0
  for i in range(EMBED):
    for j in range(EMBED):
      a, b = (one[i] - one[i].mean()) / one[i].std(ddof=1), (other[j] - other[j].mean()) / other[j].std(ddof=1)
      correlation = sum(a[n] * b[n] for n in range(count)) / count
      total += (correlation - 1) ** 2 if i == j else redundancy * correlation**2
  return total


def infonce_by_loop(kernel: np.ndarray, features: np.ndarray, embed: np.ndarray) -> float:
  one, other = features.reshape(-1, FEATURES) @ kernel, embed.reshape(-1, EMBED)
  total = 0.0
  for n in range(len(one)):
    scores = [float(one[n] @ other[m]) for m in range(len(one))]
    total += np.log(np.sum(np.exp(scores))) - scores[n]
  return total / len(one)


@pytest.mark.parametrize(
  ("objective", "by_loop"),
  [
    (Barlow(redundancy=0.3), lambda *given: barlow_by_loop(*given, 0.3)),
    (InfoNCE(), infonce_by_loop),
  ],
  ids=["barlow", "infonce"],
)
def test_loss_and_gradients_are_those_of_a_loop(objective: Objective, by_loop):
  module, given = build(objective), seen()
  (name,) = module.scales
  found, (of_params, of_features, of_embed) = losses(module, given)
  kernel = np.float64(params_of(module)["projection"]["kernel"])
  features, embed = np.float64(given.latents["x"]), np.float64(given.embed)
  assert set(found) == {name}
  np.testing.assert_allclose(found[name], by_loop(kernel, features, embed), rtol=1e-5)
  for array, gradient, place in (
    (kernel, of_params["projection"]["kernel"], (2, 1)),
    (features, of_features, (1, 3, 2)),
    (features, of_features, (3, 0, 5)),
  ):
    ends = []
    for nudge in (1e-4, -2e-4):
      array[place] += nudge
      ends.append(by_loop(kernel, features, embed))
    array[place] += 1e-4
    np.testing.assert_allclose(gradient[place], (ends[0] - ends[1]) / 2e-4, rtol=1e-3, atol=1e-6)
  assert not np.any(of_embed)  # the embedding is a target


def test_every_step_counts_where_episodes_begin_too():
  """A latent and the embedding of its own step: the pair is of one episode whatever `is_first` says."""
  module, given = build(Barlow()), seen()
  moved = given._replace(embed=np.where(steps().is_first[..., None], given.embed + 1, given.embed))
  assert losses(module, given)[0]["barlow"] != losses(module, moved)[0]["barlow"]


def test_a_constant_embedding_is_the_worst_for_barlow():
  module, given = build(Barlow()), seen()
  found, gradients = losses(module, given._replace(embed=np.ones_like(given.embed)))
  np.testing.assert_allclose(found["barlow"], EMBED, rtol=1e-5)
  found, (of_params, of_features, _) = losses(module, given._replace(latents={"x": np.ones((ROWS, LENGTH, FEATURES))}))
  np.testing.assert_allclose(found["barlow"], EMBED, rtol=1e-5)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves((gradients, of_params, of_features)))


DECODER = ConvDecoder(depth=2, mults=(1, 2), units=8, layers=1, blocks=2)


def test_a_probe_learns_from_a_few_sequences_and_teaches_the_model_nothing():
  module, given = build(Probe(DECODER, sequences=2)), seen()
  found, (of_params, of_features, of_embed) = losses(module, given)
  assert set(found) == set(module.scales) == {"probe/position", "probe/velocity"}
  assert found["probe/position"].shape == (2, LENGTH) and not np.any(of_features) and not np.any(of_embed)
  assert all(np.any(x) for x in jax.tree.leaves(of_params))
  decoded = module.decode(given.latents["x"])
  error = np.square(symlog(np.asarray(decoded["velocity"])) - symlog(np.asarray(given.observation["velocity"])))
  np.testing.assert_allclose(found["probe/velocity"], error[[0, 2]].sum(-1), rtol=1e-4)
  assert losses(build(Probe(DECODER, sequences=9)), given)[0]["probe/position"].shape == (ROWS, LENGTH)


def symlog(x: np.ndarray) -> np.ndarray:
  return np.sign(x) * np.log1p(np.abs(x))


def test_a_probe_of_no_sequences_is_not_there():
  module = build(Probe(DECODER, sequences=0))
  assert module.decoded == () and module.decode(np.zeros((1, FEATURES))) == {} and module.scales == {}
  assert not jax.tree.leaves(params_of(module)) and losses(module, seen())[0] == {}


@pytest.mark.parametrize("objective", [Barlow(), InfoNCE()], ids=["barlow", "infonce"])
def test_the_encoder_learns_through_the_posterior(objective: Objective):
  config = tiny.config()
  objectives = {"kl": FreeBits(dynamics_scale=0, representation_scale=0), "other": objective}
  world_model = replace(config.world_model, objectives=objectives, reward_scale=0.0, continues=None)
  agent = Agent(replace(config, world_model=world_model), tiny.PIXELS)
  world, _ = agent.modules(agent.init(jax.random.key(0))["params"])
  batch = tiny.batch(agent)

  @jax.jit
  @jax.grad
  def gradient(params):
    model = with_params(world, params)
    seen = model.observe(batch, jax.random.key(1))
    found, _ = model.losses({}, batch.steps, seen, jnp.int32(0), jax.random.key(2))
    return sum(model.scales[name] * loss.mean() for name, loss in found.items())

  found = gradient(params_of(world))
  for part in ("encoder", "dynamics", "objectives"):
    reached = [bool(np.any(x)) for x in jax.tree.leaves(found[part])]
    assert any(reached) and (part == "dynamics" or all(reached)), part
