"""Whole runs: which parts make a method, and the figures that it was published with."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, NamedTuple

import tyro

from dreamerax import own_code
from dreamerax.agent import AgentConfig
from dreamerax.behavior.actor_critic import ActorCritic
from dreamerax.behavior.actor_critic_v2 import ActorCriticV2
from dreamerax.behavior.planners.cem import CEM
from dreamerax.behavior.planning import Planning
from dreamerax.config import nearest
from dreamerax.dynamics.gru_rssm import GruRSSM
from dreamerax.dynamics.rssm import RSSM
from dreamerax.dynamics.stochastic import Categorical, Gaussian
from dreamerax.envs import EnvConfig, WorkerConfig
from dreamerax.nets.decoders import ConvDecoder, StridedDecoder
from dreamerax.nets.encoders import ConvEncoder, StridedEncoder
from dreamerax.nets.gru import LayerNormGRU, ResetAfterGRU, ResetBeforeGRU
from dreamerax.nets.heads import ActorHead, BinaryHead, NormalHead, TanhNormalActor, TruncatedNormalActor, TwoHotHead
from dreamerax.ops.optimizers import Adam, LaProp
from dreamerax.replay.replay import ReplayConfig
from dreamerax.runtime.loop import LoopConfig
from dreamerax.runtime.mesh import MeshConfig
from dreamerax.runtime.schedule import BurstConfig, ScheduleConfig, TrainRatioConfig
from dreamerax.runtime.seeds import check_seed
from dreamerax.world_model.model import WorldModel
from dreamerax.world_model.objectives.barlow import Barlow
from dreamerax.world_model.objectives.kl import BalancedKL, FreeBits, MeanFreeNats, StateFreeNats
from dreamerax.world_model.objectives.probe import Probe
from dreamerax.world_model.objectives.reconstruction import Reconstruction

_Flat = tyro.conf.arg(name="")  # on the command line the group's options carry no prefix: --task, not --env.task


@dataclass(frozen=True)
class RunConfig:
  """Everything that a run is made of. Env steps are simulator steps (action repeat included), agent steps decisions."""

  size: str
  """Model size; sets the widths of all parts. `dreamerax list` shows the sizes."""
  env_steps: int
  """Length of the run in env steps, summed over all environments."""
  seed: int = 0
  """Of parameters, environments, replay and every draw."""
  num_envs: int = 16
  """Environments in parallel."""
  env: Annotated[EnvConfig, _Flat] = field(default_factory=EnvConfig)
  workers: WorkerConfig = field(default_factory=WorkerConfig)
  mesh: MeshConfig = field(default_factory=MeshConfig)
  loop: Annotated[LoopConfig, _Flat] = field(default_factory=LoopConfig)
  replay: ReplayConfig = field(default_factory=ReplayConfig)
  schedule: ScheduleConfig = field(default_factory=TrainRatioConfig)
  agent: AgentConfig = field(default_factory=AgentConfig)

  def __post_init__(self):
    for name in ("env_steps", "num_envs"):
      if getattr(self, name) < 1:
        raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
    check_seed(self.seed)
    if self.replay.batch_length < 2:
      raise ValueError(f"replay.batch_length={self.replay.batch_length} must be at least 2: values need a next step")


class Size(NamedTuple):
  """Widths of one DreamerV3 model size."""

  deter: int
  hidden: int
  classes: int
  depth: int  # of the convolutions
  units: int  # of all MLPs


SIZES: Mapping[str, Size] = {
  "1m": Size(512, 64, 4, 4, 64),
  "12m": Size(2048, 256, 16, 16, 256),
  "25m": Size(3072, 384, 24, 24, 384),
  "50m": Size(4096, 512, 32, 32, 512),
  "100m": Size(6144, 768, 48, 48, 768),
  "200m": Size(8192, 1024, 64, 64, 1024),
  "400m": Size(12288, 1536, 96, 96, 1536),
}


# PlaNet, Dreamer v1 and v2 were published in one size each; "small" has a quarter of its widths, for a CPU.
OLDER_SIZES: Mapping[str, int] = {"published": 1, "small": 4}


class Preset(NamedTuple):
  """A method by name."""

  summary: str
  build: Callable[[str], RunConfig]  # a size -> the whole run
  sizes: tuple[str, ...]
  default_size: str


def dreamer_v3(size: str) -> RunConfig:
  """DreamerV3 (Hafner et al. 2023) on DeepMind Control from pixels.

  dreamerax train dreamer-v3 --task dmc/walker_walk --size 12m

  Differs from the published repository's configuration on purpose: actions repeat twice and the train ratio is 512, which the
  published curves fit, where the repository has no repeat and 256. Both make one update per 4 env steps; an env step is
  replayed 512 times here and 256 times there, because an agent step here stands for two env steps. The published curves were
  made with 8 environments; here there are 16.
  """
  widths = SIZES[size]
  units = widths.units
  return RunConfig(
    size=size,
    env_steps=1_000_000,
    num_envs=16,
    env=EnvConfig(task="dmc/walker_walk", action_repeat=2),
    agent=AgentConfig(
      world_model=WorldModel(
        encoder=ConvEncoder(depth=widths.depth, units=units),
        dynamics=RSSM(
          deter=widths.deter, hidden=widths.hidden, stochastic=Categorical(groups=32, classes=widths.classes)
        ),
        reward=TwoHotHead(layers=1, units=units),
        continues=BinaryHead(layers=1, units=units),
        objectives={"kl": FreeBits(), "reconstruction": Reconstruction(ConvDecoder(depth=widths.depth, units=units))},
      ),
      behavior=ActorCritic(actor=ActorHead(layers=3, units=units), critic=TwoHotHead(layers=3, units=units)),
    ),
    replay=ReplayConfig(capacity=5_000_000, batch_size=16, batch_length=64, context=1, online=True),
    schedule=TrainRatioConfig(ratio=512),
    loop=LoopConfig(prefill_steps=2048),
  )


def dreamer_r2(size: str) -> RunConfig:
  """R2-Dreamer (Morihira et al. 2026, arXiv 2603.18202): DreamerV3 with redundancy reduction in place of the decoder.

  dreamerax train dreamer-r2 --task dmc/walker_walk --size 12m

  It decodes nothing. `--agent.world-model.objectives.probe.sequences 2` lets a decoder learn from two sequences of each
  batch, and teach the model nothing, so that there are pictures to look at.
  """
  run, widths = dreamer_v3(size), SIZES[size]
  objectives = {
    "barlow": Barlow(),
    "kl": FreeBits(),
    "probe": Probe(ConvDecoder(depth=widths.depth, units=widths.units), sequences=0),
  }
  return replace(run, agent=replace(run.agent, world_model=replace(run.agent.world_model, objectives=objectives)))


def planet(size: str) -> RunConfig:
  """PlaNet (Hafner et al. 2019): a Gaussian RSSM, and CEM in its imagination in place of a policy.

  dreamerax train planet --task dmc/cheetah_run --action-repeat 4

  Action repeats as published: cartpole 8; reacher, cheetah and ball_in_cup 4; finger and walker 2. The published CEM takes
  about a second a decision on a CPU: --agent.behavior.planner.candidates 100 --agent.behavior.planner.elites 10 do there.
  """
  share = OLDER_SIZES[size]
  deter, units = 200 // share, 300 // share
  return RunConfig(
    size=size,
    env_steps=1_000_000,
    num_envs=1,
    env=EnvConfig(task="dmc/cheetah_run", action_repeat=4),
    agent=AgentConfig(
      world_model=WorldModel(
        encoder=StridedEncoder(depth=32 // share, activation="relu", units=units),
        dynamics=GruRSSM(
          deter=deter, hidden=deter, activation="relu", cell=ResetBeforeGRU(), stochastic=Gaussian(dims=30)
        ),
        reward=NormalHead(layers=3, units=units, activation="relu"),
        continues=None,
        objectives={
          "kl": StateFreeNats(free_nats=3.0),
          "reconstruction": Reconstruction(
            StridedDecoder(depth=32 // share, activation="relu", units=units), scale=0.5
          ),
        },
        image_bits=5,
        reward_scale=10.0,
      ),
      behavior=Planning(CEM(horizon=12, candidates=1000, elites=100, iterations=10)),
      optimizer=Adam(learning_rate=1e-3, eps=1e-4, clip=1000.0),
      exploration_noise=0.3,
    ),
    replay=ReplayConfig(capacity=5_000_000, batch_size=50, batch_length=50, context=0, online=False),
    schedule=BurstConfig(updates=100, every=1000, first=100),  # an episode has 1000 env steps
    loop=LoopConfig(prefill_steps=5 * 1000 // 4, prefill_policy="random"),
  )


def dreamer_v1(size: str) -> RunConfig:
  """Dreamer (Hafner et al. 2020): a Gaussian RSSM, and a policy trained by gradients through it.

  dreamerax train dreamer-v1 --task dmc/walker_walk
  """
  share = OLDER_SIZES[size]
  deter, units = 200 // share, 400 // share
  discount = 0.99
  return RunConfig(
    size=size,
    env_steps=1_000_000,
    num_envs=1,
    env=EnvConfig(task="dmc/walker_walk", action_repeat=2),
    agent=AgentConfig(
      world_model=WorldModel(
        encoder=StridedEncoder(depth=32 // share, activation="relu", units=units),
        dynamics=GruRSSM(
          deter=deter, hidden=deter, activation="elu", cell=ResetAfterGRU(), stochastic=Gaussian(dims=30)
        ),
        reward=NormalHead(layers=2, units=units),
        continues=None,
        objectives={
          "kl": MeanFreeNats(free_nats=3.0),
          "reconstruction": Reconstruction(
            StridedDecoder(depth=32 // share, activation="relu", units=units), scale=0.5
          ),
        },
        discount=discount,
      ),
      behavior=ActorCriticV2(
        actor=TanhNormalActor(layers=4, units=units),
        critic=NormalHead(layers=3, units=units),
        actor_optimizer=Adam(learning_rate=8e-5, eps=1e-7, clip=100.0),
        critic_optimizer=Adam(learning_rate=8e-5, eps=1e-7, clip=100.0),
        entropy_scale=0.0,
        target_every=0,
        start_values=False,
      ),
      optimizer=Adam(learning_rate=6e-4, eps=1e-7, clip=100.0),
      exploration_noise=0.3,
    ),
    replay=ReplayConfig(capacity=5_000_000, batch_size=50, batch_length=50, context=0, online=False),
    schedule=BurstConfig(updates=100, every=1000, first=100),
    loop=LoopConfig(prefill_steps=5000 // 2, prefill_policy="random"),
  )


def dreamer_v2(size: str) -> RunConfig:
  """Dreamer v2 (Hafner et al. 2021) with its figures for DeepMind Control: a categorical RSSM, KL balancing, a target network.

  dreamerax train dreamer-v2 --task dmc/walker_walk
  """
  share = OLDER_SIZES[size]
  deter, units = 200 // share, 400 // share
  decay = 1e-6
  return RunConfig(
    size=size,
    env_steps=1_000_000,
    num_envs=1,
    env=EnvConfig(task="dmc/walker_walk", action_repeat=2),
    agent=AgentConfig(
      world_model=WorldModel(
        encoder=StridedEncoder(depth=48 // share, activation="elu", units=units),
        dynamics=GruRSSM(
          deter=deter,
          hidden=deter,
          activation="elu",
          cell=LayerNormGRU(),
          stochastic=Categorical(groups=32, classes=32 // share, unimix=0.0),
        ),
        reward=NormalHead(layers=4, units=units),
        continues=None,
        objectives={
          "kl": BalancedKL(free_nats=1.0, balance=0.8),
          "reconstruction": Reconstruction(StridedDecoder(depth=48 // share, activation="elu", units=units), scale=0.5),
        },
        discount=0.99,
      ),
      behavior=ActorCriticV2(
        actor=TruncatedNormalActor(layers=4, units=units),
        critic=NormalHead(layers=4, units=units),
        actor_optimizer=Adam(learning_rate=8e-5, eps=1e-5, clip=100.0, decay=decay),
        critic_optimizer=Adam(learning_rate=8e-5, eps=1e-5, clip=100.0, decay=decay),
      ),
      optimizer=Adam(learning_rate=3e-4, eps=1e-5, clip=100.0, decay=decay),
      model_first=True,
    ),
    replay=ReplayConfig(capacity=2_000_000, batch_size=16, batch_length=50, context=0, online=False),
    schedule=BurstConfig(updates=1, every=5, first=100, unit="agent_steps"),
    loop=LoopConfig(prefill_steps=1000, prefill_policy="random"),
  )


def quick(size: str) -> RunConfig:
  """The family's parts in a size that learns on a laptop's CPU, on a task that takes minutes.

  dreamerax train

  Seeds 0, 1 and 2, one CPU core each: evaluation return 988 or more of 1000 at 100,000 env steps, after 21 to 25 minutes on a
  shared machine (docs/quick.md). The encoder is that of Dreamer v1 and v2, which costs less, and the discount theirs, 0.99
  for two simulator steps, over eight. The latents are Gaussian, and their KL weighs a tenth with the balance 0.8, as Dreamer
  v2's on Atari: with DreamerV3's the model finds the pole three times later.
  """
  units, discount = 64, 0.96
  return RunConfig(
    size=size,
    env_steps=100_000,
    num_envs=4,
    env=EnvConfig(task="dmc/cartpole_balance", action_repeat=8, rendering="balanced"),
    agent=AgentConfig(
      world_model=WorldModel(
        encoder=StridedEncoder(depth=8, activation="elu", start="truncated_normal", units=units),
        dynamics=RSSM(deter=256, hidden=128, stochastic=Gaussian(dims=16)),
        reward=TwoHotHead(layers=1, units=units),
        continues=BinaryHead(layers=1, units=units),
        objectives={
          "kl": FreeBits(dynamics_scale=0.08, representation_scale=0.02),
          "reconstruction": Reconstruction(ConvDecoder(depth=2, mults=(2, 4, 8, 16), units=256)),
        },
        discount=discount,
      ),
      behavior=ActorCritic(
        actor=ActorHead(layers=2, units=units),
        critic=TwoHotHead(layers=2, units=units),
        actor_optimizer=LaProp(learning_rate=3e-4, warmup=100),
        critic_optimizer=LaProp(learning_rate=1e-3, warmup=100),
        discount=discount,
      ),
      optimizer=LaProp(learning_rate=1.5e-3, warmup=100),
    ),
    replay=ReplayConfig(capacity=100_000, batch_size=16, batch_length=8, context=1, online=True),
    schedule=TrainRatioConfig(ratio=64),
    loop=LoopConfig(prefill_steps=500, eval_every=10_000, eval_episodes=5, checkpoint_minutes=1.0),
  )


_OLDER = (tuple(OLDER_SIZES), "published")

PRESETS: Mapping[str, Preset] = {
  "quick": Preset("cartpole_balance in minutes on a laptop's CPU", quick, ("tiny",), "tiny"),
  "dreamer-v3": Preset("DreamerV3 with the published figures, walker_walk by default", dreamer_v3, tuple(SIZES), "12m"),
  "dreamer-r2": Preset("DreamerV3 with redundancy reduction in place of a decoder", dreamer_r2, tuple(SIZES), "12m"),
  "dreamer-v2": Preset("Dreamer v2: categorical latents, gradients through the dynamics", dreamer_v2, *_OLDER),
  "dreamer-v1": Preset("Dreamer: Gaussian latents, gradients through the dynamics", dreamer_v1, *_OLDER),
  "planet": Preset("PlaNet: Gaussian latents, planning by the cross-entropy method", planet, *_OLDER),
}


def build(preset: str, size: str | None = None) -> RunConfig:
  """The run that a preset's name and a size stand for; the preset's default size where none is given.

  `module:name` is a preset of the person's own: a RunConfig, or a function that returns one and may take a size.

  Raises:
    ValueError: unknown preset or size; names the nearest.
  """
  if ":" in preset:
    return _build_own(preset, size)
  if preset not in PRESETS:
    raise ValueError(f"preset={preset!r} is not one of {', '.join(PRESETS)}{nearest(preset, PRESETS)}")
  sizes = PRESETS[preset].sizes
  if size is not None and size not in sizes:
    raise ValueError(f"size={size!r} is not one of {', '.join(sizes)} of {preset}{nearest(size, sizes)}")
  return PRESETS[preset].build(size or PRESETS[preset].default_size)


def _build_own(path: str, size: str | None) -> RunConfig:
  built = own_code.find(path, "preset")
  if callable(built) and not isinstance(built, RunConfig):
    parameters = inspect.signature(built).parameters
    if size is None and any(each.default is each.empty for each in parameters.values()):
      raise ValueError(f"preset={path!r} takes a size: give --size")
    try:
      built = built(size) if parameters and size is not None else built()
    except Exception as error:
      raise ValueError(f"preset={path!r} raised {own_code.account(error)}") from error
  if not isinstance(built, RunConfig):
    raise ValueError(f"preset={path!r} is {type(built).__name__}: name a RunConfig, or a function that returns one")
  if size not in (None, built.size):
    raise ValueError(f"size={size!r}: preset={path!r} has the size {built.size!r}; leave --size out")
  return built
