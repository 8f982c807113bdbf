import functools
from dataclasses import replace

import jax
import numpy as np
import pytest

from dreamerax import captions
from dreamerax.agent import Agent, AgentConfig
from dreamerax.behavior.actor_critic import ActorCritic
from dreamerax.behavior.actor_critic_v2 import ActorCriticV2
from dreamerax.behavior.policy_gradient import Pathwise
from dreamerax.dynamics.gru_rssm import GruRSSM
from dreamerax.dynamics.rssm import RSSM
from dreamerax.dynamics.ssm import SSM
from dreamerax.dynamics.stochastic import Categorical, Gaussian
from dreamerax.nets.decoders import ConvDecoder
from dreamerax.nets.encoders import ConvEncoder
from dreamerax.nets.heads import ActorHead, BinaryHead, TwoHotHead
from dreamerax.ops.optimizers import LaProp
from dreamerax.runtime.devices.mesh import local_mesh
from dreamerax.runtime.devices.sharding import abstract_state, init_state
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec
from dreamerax.world_model.model import WorldModel
from dreamerax.world_model.objectives.kl import FreeBits
from dreamerax.world_model.objectives.overshooting import Overshooting
from dreamerax.world_model.objectives.reconstruction import Reconstruction
from tests import tiny


class Compiled:
  """An agent whose functions are compiled once for all tests."""

  def __init__(self, spec: EnvSpec, config: AgentConfig):
    self.agent = Agent(config, spec)
    self.update = jax.jit(self.agent.update)
    self.act = jax.jit(self.agent.act, static_argnames="explore")
    self.state = jax.jit(self.agent.init)(jax.random.key(0))
    self.batch = tiny.batch(self.agent)


@pytest.fixture(scope="session")
def pixels() -> Compiled:
  return Compiled(tiny.PIXELS, tiny.config())


@functools.cache
def updated(compiled: Compiled):
  return compiled.update(compiled.state, compiled.batch, jax.random.key(1))


def test_the_first_state_and_its_shapes_are_traced_once(monkeypatch):
  agent, mesh, built = Agent(tiny.config(), tiny.PIXELS), local_mesh(), []
  build = WorldModel.build
  monkeypatch.setattr(WorldModel, "build", lambda *args, **options: built.append(args) or build(*args, **options))
  shapes = abstract_state(agent, mesh)
  state = init_state(agent, mesh, jax.random.key(3))
  assert jax.tree.map(lambda x: (x.shape, x.dtype), state) == jax.tree.map(lambda x: (x.shape, x.dtype), shapes)
  assert len(built) == 1


@pytest.mark.parametrize(
  ("deter", "hidden", "classes", "depth", "units", "count"),
  [(512, 64, 4, 4, 64, 686_846), (2048, 256, 16, 16, 256, 10_494_158)],
  ids=["1m", "12m"],
)
def test_parameter_counts_are_the_published_ones(deter, hidden, classes, depth, units, count):
  """walker_walk from pixels, as the published implementation counts when it starts."""
  world_model = WorldModel(
    encoder=ConvEncoder(depth=depth, units=units),
    dynamics=RSSM(deter=deter, hidden=hidden, stochastic=Categorical(classes=classes)),
    reward=TwoHotHead(layers=1, units=units),
    continues=BinaryHead(layers=1, units=units),
    objectives={"kl": FreeBits(), "reconstruction": Reconstruction(ConvDecoder(depth=depth, units=units))},
  )
  behavior = ActorCritic(actor=ActorHead(units=units), critic=TwoHotHead(units=units))
  spec = EnvSpec({"image": ArraySpec((64, 64, 3), "uint8")}, ActionSpec(6))
  assert Agent(AgentConfig(world_model, behavior), spec).parameter_count() == count


def test_updates_move_every_part_and_keep_float32(pixels):
  # Two: what lies behind the zero output layers of reward and critic, the policy's mean too, waits for them to move.
  state, _, _ = pixels.update(updated(pixels)[0], pixels.batch, jax.random.key(2))
  assert jax.tree.map(lambda x: (x.shape, x.dtype), state) == jax.tree.map(lambda x: (x.shape, x.dtype), pixels.state)
  assert all(x.dtype == np.float32 for x in jax.tree.leaves(state["params"]))
  moved = jax.tree.map(lambda before, after: bool(np.any(before != after)), pixels.state["params"], state["params"])
  still = [jax.tree_util.keystr(path) for path, value in jax.tree_util.tree_leaves_with_path(moved) if not value]
  assert not still
  assert state["updates"] == 2


def test_the_slow_critic_follows_at_its_rate(pixels):
  state, _, _ = updated(pixels)
  old, new = pixels.state["slow"]["critic"], state["params"]["behavior"]["critic"]
  expected = jax.tree.map(lambda old, new: 0.98 * old + 0.02 * new, old, new)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-8), state["slow"]["critic"], expected)


def test_metrics_are_finite_scalars_and_the_total_is_the_weighted_sum(pixels):
  _, _, metrics = updated(pixels)
  assert all(x.shape == () and np.isfinite(x) for x in metrics.values())
  losses = {name.removeprefix("loss/"): float(x) for name, x in metrics.items() if name.startswith("loss/")}
  total = losses.pop("total")
  scales = dict.fromkeys(losses, 1.0) | {"representation": 0.1, "replay_value": 0.3}
  assert set(losses) == {
    "reconstruction/image", "reward", "continue", "dynamics", "representation", "actor", "critic", "replay_value",
  }  # fmt: skip
  assert total == pytest.approx(sum(scales[name] * loss for name, loss in losses.items()), rel=1e-5)


def test_latents_come_back_as_replay_stores_them(pixels):
  _, latents, _ = updated(pixels)
  spec = pixels.agent.latent_spec
  assert {k: (x.shape, x.dtype.name) for k, x in latents.items()} == {
    k: ((4, 5, *s.shape), s.dtype) for k, s in spec.items()
  }


def test_context_is_continued_from_except_where_an_episode_begins(pixels):
  other = pixels.batch._replace(context=tiny.context(pixels.agent, 4, seed=1))
  _, latents, _ = updated(pixels)
  _, changed, _ = pixels.update(pixels.state, other, jax.random.key(1))
  differs = np.abs(np.asarray(latents["deter"]) - np.asarray(changed["deter"])).max(-1) > 1e-5
  np.testing.assert_array_equal(differs[:, 0], [True, True, False, True])
  assert not differs[0, 2:].any() and not differs[1, 3:].any()


def test_repeated_updates_lower_the_loss(pixels):
  state, totals = pixels.state, []
  for step in range(40):
    state, _, metrics = pixels.update(state, pixels.batch, jax.random.key(step))
    totals.append(float(metrics["loss/reconstruction/image"]))
  assert totals[-1] < 0.95 * totals[0]


def test_acting_is_decided_by_its_key_and_the_mode_by_nothing_after_the_latent(pixels):
  carry = pixels.agent.initial_carry(3)
  args = (pixels.state["params"], carry, tiny.observation(tiny.PIXELS, 3), np.ones(3, bool))
  sampled, other = (pixels.act(*args, jax.random.key(k), explore=True)[0] for k in (0, 1))
  again = pixels.act(*args, jax.random.key(0), explore=True)[0]
  assert sampled.shape == (3, 2) and sampled.dtype == np.float32
  np.testing.assert_array_equal(sampled, again)
  assert not np.array_equal(sampled, other)
  mode, repeated = (pixels.act(*args, jax.random.key(0), explore=False)[0] for _ in range(2))
  np.testing.assert_array_equal(mode, repeated)
  assert np.abs(mode).max() < 0.1 < np.abs(sampled).max()  # an untrained policy: centred, and wide


def test_acting_remembers_until_an_episode_begins(pixels):
  params, key = pixels.state["params"], jax.random.key(0)
  fresh = pixels.agent.initial_carry(3)
  _, carry, latents = pixels.act(params, fresh, tiny.observation(tiny.PIXELS, 3), np.ones(3, bool), key, explore=True)
  assert jax.tree.map(np.shape, carry) == jax.tree.map(np.shape, fresh)
  assert {k: (x.shape[1:], x.dtype.name) for k, x in latents.items()} == {
    k: (s.shape, s.dtype) for k, s in pixels.agent.latent_spec.items()
  }
  image = tiny.observation(tiny.PIXELS, 3, seed=1)
  is_first = np.array([True, False, True])
  one, two = (pixels.act(params, c, image, is_first, key, explore=True)[2]["deter"] for c in (carry, fresh))
  np.testing.assert_array_equal((np.asarray(one) == np.asarray(two)).all(-1), is_first)


def test_the_open_loop_video_shows_truth_prediction_and_error(pixels):
  videos = jax.jit(pixels.agent.report)(pixels.state, pixels.batch, jax.random.key(0))
  video = np.asarray(videos["open_loop/image"])
  assert video.dtype == np.uint8 and video.shape == (5, 12 + 3 * 12, 36 + 4 * 12, 3)
  truth = pixels.batch.steps.observation["image"].transpose(1, 2, 0, 3, 4).reshape(5, 12, 48, 3)
  np.testing.assert_allclose(video[:, 12:24, 36:], truth, atol=1)
  np.testing.assert_array_equal(video[:, 0, 0].argmax(-1), [1, 1, 0, 0, 0])  # green while observing, then red


@pytest.mark.parametrize("channels", [1, 5])
def test_the_open_loop_video_has_three_channels_whatever_images_have(channels: int):
  spec = EnvSpec({"image": ArraySpec((12, 12, channels), "uint8")}, ActionSpec(2))
  agent = Agent(tiny.config(), spec)
  batch, state = tiny.batch(agent), agent.init(jax.random.key(0))
  video = np.asarray(jax.jit(agent.report)(state, batch, jax.random.key(0))["open_loop/image"])
  image = batch.steps.observation["image"]
  truth = image[..., :3] if channels > 3 else image.repeat(3, -1)
  truth = truth.transpose(1, 2, 0, 3, 4).reshape(5, 12, 48, 3)
  np.testing.assert_allclose(video[:, 12:24, 36:], truth, atol=1)
  np.testing.assert_array_equal(video[:, 0, 0], [captions.SEEN] * 2 + [captions.DREAMT] * 3)


@pytest.mark.parametrize(
  ("spec", "config"),
  [
    (tiny.VECTOR, tiny.config(Gaussian(dims=4), gradient=Pathwise())),
    pytest.param(tiny.CHOICES, tiny.config(compute_dtype="bfloat16"), marks=pytest.mark.slow),
  ],
  ids=["gaussian-pathwise", "discrete-bfloat16"],
)
def test_other_latents_actions_observations_and_dtypes_take_an_update(spec, config):
  compiled = Compiled(spec, config)
  state, latents, metrics = updated(compiled)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves((state, metrics)))
  assert all(x.dtype == np.float32 for x in jax.tree.leaves(state["params"]))
  assert {k: x.dtype.name for k, x in latents.items()} == {k: s.dtype for k, s in compiled.agent.latent_spec.items()}
  assert any(map(np.any, jax.tree.leaves(jax.tree.map(np.subtract, state["params"], compiled.state["params"]))))
  action, _, _ = compiled.act(
    state["params"], compiled.agent.initial_carry(3), tiny.observation(spec, 3), np.ones(3, bool), jax.random.key(0),
    explore=True,
  )  # fmt: skip
  assert action.shape == (3, spec.action.size) and action.dtype == np.float32
  if spec.action.discrete:
    np.testing.assert_allclose(np.sort(action, -1)[:, -1], 1.0)


@pytest.mark.parametrize("dynamics", [GruRSSM(deter=8, hidden=8), SSM(hidden=8)], ids=["gru-rssm", "ssm"])
def test_other_dynamics_fit_into_the_update(dynamics):
  config = tiny.config()
  config = replace(config, world_model=replace(config.world_model, dynamics=dynamics))
  agent = Agent(config, tiny.VECTOR)
  state = jax.eval_shape(agent.init, jax.random.key(0))
  _, latents, _ = jax.eval_shape(agent.update, state, tiny.batch(agent), jax.random.key(0))
  assert {k: (x.shape, x.dtype.name) for k, x in latents.items()} == {
    k: ((4, 5, *s.shape), s.dtype) for k, s in agent.latent_spec.items()
  }


def test_sequences_without_context_start_from_zero():
  agent = Agent(tiny.config(), tiny.VECTOR)
  state = jax.eval_shape(agent.init, jax.random.key(0))
  batch = tiny.batch(agent)._replace(context={})
  _, latents, _ = jax.eval_shape(agent.update, state, batch, jax.random.key(0))
  assert latents["deter"].shape == (4, 5, 32)


@pytest.mark.slow
def test_the_model_may_step_before_the_behaviour_learns_in_it():
  """The world model's step is that of its own loss; the behaviour imagines in the model that comes of it."""
  behavior = ActorCriticV2(
    actor=ActorHead(layers=1, units=16),
    critic=TwoHotHead(layers=1, units=16),
    actor_optimizer=LaProp(warmup=0),
    critic_optimizer=LaProp(warmup=0),
    horizon=3,
  )
  config = replace(tiny.config(), behavior=behavior)
  first, jointly = (Compiled(tiny.VECTOR, replace(config, model_first=order)) for order in (True, False))
  (one, latents, metrics), (other, same, before) = (
    compiled.update(first.state, first.batch, jax.random.key(0)) for compiled in (first, jointly)
  )
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), latents, same)
  worlds = (x["params"]["world_model"] for x in (one, other))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), *worlds)
  assert metrics["loss/total"] != before["loss/total"]
  np.testing.assert_allclose(metrics["loss/dynamics"], before["loss/dynamics"], rtol=1e-4)
  assert abs(metrics["imagined/continue"] - before["imagined/continue"]) > 1e-4


def test_noise_is_added_to_exploring_actions_alone(pixels):
  noisy = Compiled(tiny.PIXELS, replace(tiny.config(), exploration_noise=0.3))
  args = (
    pixels.state["params"],
    pixels.agent.initial_carry(500),
    tiny.observation(tiny.PIXELS, 500),
    np.ones(500, bool),
  )
  plain_action, action = (compiled.act(*args, jax.random.key(0), explore=True)[0] for compiled in (pixels, noisy))
  inside = np.abs(action) < 1
  assert np.std((action - plain_action)[inside]) == pytest.approx(0.3, abs=0.05) and np.abs(action).max() == 1
  modes = (compiled.act(*args, jax.random.key(0), explore=False)[0] for compiled in (pixels, noisy))
  np.testing.assert_array_equal(*modes)


def test_noise_on_discrete_actions_is_now_and_then_any_other_in_each_group_by_itself():
  compiled = Compiled(tiny.LEVERS, replace(tiny.config(), exploration_noise=0.3))
  params = jax.tree.map(np.array, compiled.state["params"])
  params["behavior"]["actor"]["out"]["logits"]["bias"][[0, 3]] = 50.0  # always the first
  args = (params, compiled.agent.initial_carry(4000), tiny.observation(tiny.LEVERS, 4000), np.ones(4000, bool))
  action, _, _ = compiled.act(*args, jax.random.key(0), explore=True)
  assert tiny.LEVERS.action.is_one_hot(np.asarray(action)).all()
  np.testing.assert_allclose(action.mean(0), [0.8, 0.1, 0.1, 0.85, 0.15], atol=0.03)
  assert np.mean(action[:, 0] * action[:, 3]) == pytest.approx(0.8 * 0.85, abs=0.03)


@pytest.mark.slow
def test_images_may_be_cut_to_fewer_bits_and_an_episode_may_be_endless():
  config = tiny.config()
  objectives = {**config.world_model.objectives, "overshooting": Overshooting(distance=3, scale=0.5)}
  world = replace(config.world_model, image_bits=5, continues=None, objectives=objectives)
  compiled = Compiled(tiny.PIXELS, replace(config, world_model=world))
  state, _, metrics = updated(compiled)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves((state, metrics)))
  assert "loss/continue" not in metrics and metrics["loss/overshooting"] > 0
  np.testing.assert_allclose(metrics["imagined/continue"], 1 - 1 / 333, rtol=1e-6)
