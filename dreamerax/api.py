"""Defines what a program imports: preset, train, train_seeds, evaluate, load_policy, export_policy, pack_agent."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax

from dreamerax import envs, files, presets
from dreamerax.agent import Agent
from dreamerax.config import changed
from dreamerax.config_file import CONFIG, spec_to_dict
from dreamerax.deploy import export
from dreamerax.deploy.policy import LoadedPolicy
from dreamerax.own_code import NOBODY, Trusted
from dreamerax.run_config import RunConfig
from dreamerax.run_directory import RunDirectory, env_spec
from dreamerax.runtime import seeds
from dreamerax.runtime.checkpoint import packed
from dreamerax.runtime.collect import evaluate as evaluation
from dreamerax.runtime.collect.evaluate import EvalResult
from dreamerax.runtime.collect.policy import AgentPolicy
from dreamerax.runtime.telemetry.metrics import METRICS, evaluation_lines
from dreamerax.training import train, train_seeds

__all__ = [
  "evaluate",
  "export_policy",
  "load_agent",
  "load_config",
  "load_policy",
  "load_preset",
  "pack_agent",
  "preset",
  "train",
  "train_seeds",
]


def preset(name: str, size: str | None = None, changes: Mapping[str, Any] | None = None) -> RunConfig:
  """The run that a preset stands for, to train as it is or changed.

  Args:
    name: as `dreamerax list` has it, or `module:name` of your own.
    size: of the model; None: the preset's default.
    changes: path of a field to its value, {"env.task": "gym/CartPole-v1", "agent.optimizer.learning_rate": 1e-3}; the paths
      are those of config.json.

  Raises:
    ValueError: there is no such preset, size or field, a value does not fit, or a changed setting does not apply to the task.
  """
  run = changed(presets.build(name, size), changes or {})
  envs.check_applies(run.env, {path.removeprefix("env.") for path in changes or {}})
  return run


def load_config(run_dir: str | Path, trust: Trusted = NOBODY) -> RunConfig:
  """The configuration that a run was started with.

  Args:
    trust: as `evaluate` has it. A task that is not among it cannot be made.

  Raises:
    FileNotFoundError: there is no run. ValueError: names the field that this version cannot read.
    NotTrusted: a part of the run is of a module that is not trusted.
  """
  return RunDirectory.open(run_dir, trust).config


def load_preset(run_dir: str | Path) -> str | None:
  """The name of the preset that a run was started with, where it is known.

  Raises:
    FileNotFoundError: there is no run. ValueError: its config.json cannot be read.
  """
  return RunDirectory.open(run_dir).preset


def evaluate(
  run_dir: str | Path,
  episodes: int = 10,
  seed: int = 0,
  video: bool = False,
  *,
  task: str | None = None,
  trust: Trusted = NOBODY,
) -> EvalResult:
  """Scores the newest checkpoint of a run: mode actions, environments of its own with seeds of their own.

  Args:
    video: also return the frames of the first episode, of what the environment shows or else draws of itself.
    task: another one than the run's, which shows and takes the same.
    trust: code of your own that may run because the run's configuration names it: packages, modules, `module:name`, or
      True for whatever it names.

  Raises:
    FileNotFoundError: no run or no checkpoint is there. ValueError: it does not fit this version, the task does not fit the
      run, or a video was asked for and the environment has no pictures.
    NotTrusted: the environment or a part of the run is code that is not trusted.
  """
  config = load_config(run_dir, trust)
  agent = Agent(config.agent, env_spec(config))
  env = config.env.as_evaluated()
  if task is not None:
    env = dataclasses.replace(env, task=task)
    if envs.look_at(env) != agent.spec:
      raise ValueError(
        f"task={task!r} shows other observations than the run was trained on, or takes other actions: name one that is like "
        f"{config.env.task!r}"
      )
  state = packed.load_trained(Path(run_dir).absolute(), agent)
  policy = AgentPolicy(agent, explore=False, key=seeds.key(seed))
  return evaluation.evaluate(
    policy,
    agent.policy_params(state),
    partial(envs.make_batch, env, workers=config.workers, skip_nonfinite=config.loop.nonfinite == "skip"),
    episodes=episodes,
    num_envs=min(episodes, config.num_envs),
    seed=seed,
    max_steps=config.loop.eval_max_steps,
    video=video,
    say=print,
  )


def load_policy(run_dir: str | Path, *, explore: bool = False, trust: Trusted = NOBODY) -> LoadedPolicy:
  """The newest checkpoint's policy, to act with in this program: see docs/using.md. Needs no environment.

  Args:
    explore: samples actions as in training, in place of the mode.
    trust: as `evaluate` has it.

  Raises:
    FileNotFoundError: no run or no checkpoint is there. ValueError: it does not fit this version.
    NotTrusted: a part of the run is code that is not trusted.
  """
  directory = RunDirectory.open(run_dir, trust)
  agent, params = _trained(directory, directory.config)
  return export.make_policy(agent, params, explore=explore, header=_about(agent, directory))


def export_policy(
  run_dir: str | Path,
  out: str | Path,
  *,
  batch: int | None = None,
  platforms: Sequence[str] = ("cpu", "cuda"),
  explore: bool = False,
  compute_dtype: Literal["float32", "bfloat16"] = "float32",
  trust: Trusted = NOBODY,
) -> None:
  """Writes the newest checkpoint's policy as one file, for `dreamerax.load_exported`.

  Args:
    batch: environments in every call; None: any number.
    platforms: where it can run, of cpu, cuda, rocm and tpu.
    explore: samples actions as in training, in place of the mode.
    compute_dtype: what the program computes in, wherever it runs.
    trust: as `evaluate` has it.

  Raises:
    what `load_policy` raises; ValueError: the agent has no program for any number of environments.
  """
  directory = RunDirectory.open(run_dir, trust)
  config = directory.config
  config = dataclasses.replace(config, agent=dataclasses.replace(config.agent, compute_dtype=compute_dtype))
  agent, params = _trained(directory, config)
  header = _about(agent, directory)
  export.export(agent, params, Path(out), explore=explore, batch=batch, platforms=platforms, header=header)


def pack_agent(run_dir: str | Path, out: str | Path, *, trust: Trusted = NOBODY) -> None:
  """Writes the newest checkpoint's agent as a small run directory, which does all that a run does but train on.

  It holds config.json, the evaluations in metrics.jsonl, and the agent in half precision without its optimisers and replay.

  Args:
    out: a directory that is not there, or empty.
    trust: as `evaluate` has it.

  Raises:
    what `load_policy` raises; ValueError: something is in `out`, or it cannot be written.
  """
  directory, out = RunDirectory.open(run_dir, trust), Path(out)
  if os.path.lexists(out) and (not out.is_dir() or any(out.iterdir())):
    raise ValueError(f"out={out}: something is there: name a directory that is new or empty")
  agent = Agent(directory.config.agent, directory.spec)
  try:
    packed.pack(directory.path.absolute(), agent, out)
    files.write_whole(out / CONFIG, files.read_regular(directory.path / CONFIG))
    files.write_whole(out / METRICS, b"".join(evaluation_lines(directory.path / METRICS)))
  except OSError as error:
    if isinstance(error, FileNotFoundError):
      raise
    raise ValueError(f"out={out} cannot be written ({error}): choose another directory") from error


def load_agent(run_dir: str | Path, trust: Trusted = NOBODY) -> tuple[Agent, Any]:
  """The newest checkpoint's agent, and the parameters that acting needs, on a device. Raises what `load_policy` does."""
  return agent_of(RunDirectory.open(run_dir, trust))


def agent_of(directory: RunDirectory) -> tuple[Agent, Any]:
  """Loads what `load_agent` does, of a run directory that has been opened."""
  return _trained(directory, directory.config)


def _trained(directory: RunDirectory, config: RunConfig) -> tuple[Agent, Any]:
  agent = Agent(config.agent, directory.spec)
  state = packed.load_trained(directory.path.absolute(), agent)
  return agent, jax.device_put(agent.policy_params(state), jax.local_devices()[0])


def _about(agent: Agent, directory: RunDirectory) -> dict[str, Any]:
  """Returns what a policy tells of itself."""
  config = directory.config
  spec = spec_to_dict(agent.policy_spec)
  env = {"task": config.env.task, "action_repeat": config.env.action_repeat}
  return {"spec": spec, **env, "preset": directory.preset, "size": config.size, "seed": config.seed}
