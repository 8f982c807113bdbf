"""The smallest agent that has every part, and batches for it."""

import numpy as np

from dreamerax.agent import Agent, AgentConfig
from dreamerax.behavior.actor_critic import ActorCritic
from dreamerax.behavior.policy_gradient import PolicyGradient, Reinforce
from dreamerax.dynamics.rssm import RSSM
from dreamerax.dynamics.stochastic import Categorical, Stochastic
from dreamerax.nets.decoders import ConvDecoder
from dreamerax.nets.encoders import ConvEncoder
from dreamerax.nets.heads import ActorHead, BinaryHead, TwoHotHead
from dreamerax.ops.optimizers import LaProp
from dreamerax.types import ActionSpec, ArraySpec, Batch, EnvSpec, Transition
from dreamerax.world_model.model import WorldModel
from dreamerax.world_model.objectives.kl import FreeBits
from dreamerax.world_model.objectives.reconstruction import Reconstruction

CATEGORICAL = Categorical(groups=4, classes=4)
VECTOR = EnvSpec({"position": ArraySpec((3,)), "velocity": ArraySpec((2,))}, ActionSpec(2))
CHOICES = EnvSpec(VECTOR.observation, ActionSpec(3, discrete=True))
LEVERS = EnvSpec(VECTOR.observation, ActionSpec(5, discrete=True, groups=(3, 2)))
PIXELS = EnvSpec({"image": ArraySpec((12, 12, 3), "uint8")}, ActionSpec(2))
GOALS = EnvSpec({"image": PIXELS.observation["image"], "goal/image": PIXELS.observation["image"]}, ActionSpec(2))
MULTS = (1, 2)  # halve 12 pixels to 3


def config(
  stochastic: Stochastic = CATEGORICAL,
  *,
  gradient: PolicyGradient | None = None,
  compute_dtype: str = "float32",
  learning_rate: float = 1e-3,
) -> AgentConfig:
  """No warm-up, so that a first update moves the parameters."""
  optimizer = LaProp(learning_rate=learning_rate, warmup=0)
  world_model = WorldModel(
    encoder=ConvEncoder(depth=2, mults=MULTS, units=16, layers=1),
    dynamics=RSSM(deter=32, hidden=16, blocks=8, stochastic=stochastic),
    reward=TwoHotHead(layers=1, units=16),
    continues=BinaryHead(layers=1, units=16),
    objectives={
      "kl": FreeBits(),
      "reconstruction": Reconstruction(ConvDecoder(depth=4, mults=MULTS, units=16, layers=1)),
    },
  )
  behavior = ActorCritic(
    actor=ActorHead(layers=1, units=16),
    critic=TwoHotHead(layers=1, units=16),
    gradient=gradient or Reinforce(),
    actor_optimizer=optimizer,
    critic_optimizer=optimizer,
    horizon=3,
  )
  return AgentConfig(world_model, behavior, optimizer, compute_dtype=compute_dtype)


def observation(spec: EnvSpec, *leading: int, seed: int = 0) -> dict[str, np.ndarray]:
  rng = np.random.default_rng(seed)
  return {
    key: rng.integers(0, 256, (*leading, *value.shape), np.uint8)
    if value.is_image
    else rng.normal(size=(*leading, *value.shape)).astype(np.float32)
    for key, value in spec.observation.items()
  }


def batch(agent: Agent, rows: int = 4, length: int = 5, seed: int = 0) -> Batch:
  """Random steps; in row 0 an episode ends, in row 1 one ends by time limit, in row 2 one begins; random context."""
  rng = np.random.default_rng(seed)
  spec = agent.spec
  is_first, is_last, is_terminal = np.zeros((3, rows, length), bool)
  is_last[0, 1] = is_terminal[0, 1] = is_first[0, 2] = True
  is_last[1, 2] = is_first[1, 3] = True
  is_first[2, 0] = True
  if spec.action.discrete:
    action = np.concatenate([np.eye(n)[rng.integers(n, size=(rows, length))] for n in spec.action.groups], -1)
  else:
    action = rng.uniform(-1, 1, (rows, length, spec.action.size))
  steps = Transition(
    observation=observation(spec, rows, length, seed=seed),
    action=(action * ~is_first[..., None]).astype(np.float32),
    reward=(rng.normal(size=(rows, length)) * ~is_first).astype(np.float32),
    is_first=is_first,
    is_last=is_last,
    is_terminal=is_terminal,
  )
  return Batch(steps, context(agent, rows, seed))


def context(agent: Agent, rows: int, seed: int = 0) -> dict[str, np.ndarray]:
  rng = np.random.default_rng(seed)
  return {
    key: rng.integers(0, 4, (rows, *value.shape)).astype(value.dtype)
    if value.dtype == "uint8"
    else rng.normal(size=(rows, *value.shape)).astype(value.dtype)
    for key, value in agent.latent_spec.items()
  }
