"""Chooses the devices that learn, all of them as one mesh (one device is a mesh of one), and those that act."""

import contextlib
import os
from dataclasses import dataclass, replace
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh

from dreamerax import checks

DATA, MODEL = "data", "model"
_CPU_SHARES = 2  # of a batch, by default
_MOST_CPU_DEVICES = 1024  # virtual ones, each with threads of its own
_one_acts = False  # whether `divide_cpu` has made the last of the CPU's devices to act


@dataclass(frozen=True)
class MeshConfig:
  """Configuration of the devices: how an update is spread over them, and which act
  meanwhile."""

  data: int = 0
  """Into how many shares a batch is split; 0: as many as there are devices for, or 2 where there is only the CPU."""
  model: int = 1
  """Over how many devices large weights, with what the optimiser keeps of them, are split: for each share of a batch."""
  batch: Literal["global", "per_device"] = "global"
  """Whether replay.batch_size is the whole batch, or that of each of the `data` shares."""
  policy: int | None = None
  """How many devices act and do not learn, the last ones; 0: the first that learns acts too. By default 0, and 1 where
  there is only the CPU, which then has (virtual) devices for either."""

  def __post_init__(self):
    checks.at_least(0, self, "data", "policy", group="mesh.")
    checks.at_least(1, self, "model", group="mesh.")


def divide_cpu(config: MeshConfig, batch_size: int) -> None:
  """Makes as many (virtual) devices of the CPU as a run asks for, where there is
  nothing else.

  By default two learn, where the batch can be halved: what an update does on one core, as most of what lies between its matrix
  products, is then done on two at once. One more acts while an update runs, because a device does one thing after the other.

  Call it before jax has looked for devices; afterwards it changes nothing, nor where somebody has asked for a number of CPU
  devices.

  Raises:
    ValueError: a run asks for more than anybody has use for.
  """
  global _one_acts
  flags = os.environ.get("XLA_FLAGS", "")
  if jax.config.values["jax_num_cpu_devices"] > 0 or "xla_force_host_platform_device_count" in flags:
    return
  halves = _CPU_SHARES if config.batch == "global" and batch_size % _CPU_SHARES == 0 else 1
  learners = (config.data or max(1, halves // config.model)) * config.model
  wanted = learners + (1 if config.policy is None else config.policy)
  if wanted > _MOST_CPU_DEVICES:
    raise ValueError(
      f"mesh.data={config.data}, mesh.model={config.model} and mesh.policy={config.policy} ask for {wanted} devices, and the "
      f"CPU is divided into {_MOST_CPU_DEVICES} at most: lower them"
    )
  with contextlib.suppress(RuntimeError):  # jax has looked already
    jax.config.update("jax_num_cpu_devices", wanted)
    _one_acts = config.policy is None


def local_mesh(config: MeshConfig | None = None) -> Mesh:
  """The devices that learn, as an array [data, model].

  Raises:
    ValueError: there are not enough devices.
  """
  config = config or MeshConfig()
  learners = _learners(config)
  data = config.data or len(learners) // config.model
  wanted = data * config.model
  if not 0 < wanted <= len(learners):
    raise ValueError(
      f"mesh.data={config.data} and mesh.model={config.model} need {max(wanted, config.model)} devices, and "
      f"{len(learners)} of {jax.local_device_count()} are there to learn: lower them, or mesh.policy"
    )
  return Mesh(np.array(learners[:wanted]).reshape(data, config.model), (DATA, MODEL))


def learner_mesh(config: MeshConfig | None = None) -> Mesh:
  """`local_mesh` over all hosts, each of which has its part of `data`; the same on every host.

  Raises:
    ValueError: the hosts do not have the devices, or not equally many.
  """
  config, hosts = config or MeshConfig(), jax.process_count()
  if config.data % hosts:
    raise ValueError(f"mesh.data={config.data} cannot be dealt out evenly to {hosts} hosts: use a multiple of {hosts}")
  here = local_mesh(replace(config, data=config.data // hosts))
  if hosts * jax.local_device_count() != jax.device_count():
    raise ValueError(f"the {hosts} hosts have {jax.device_count()} devices in all: start as many on each")
  places = [jax.local_devices().index(device) for device in here.devices.flat]
  each = [[device for device in jax.devices() if device.process_index == host] for host in range(hosts)]
  devices = np.array([[devices[place] for place in places] for devices in each])
  return Mesh(devices.reshape(-1, config.model), (DATA, MODEL))


def policy_mesh(config: MeshConfig | None = None) -> Mesh:
  """Returns the devices on which the policy acts, as a mesh [data]: on devices of its
  own where there are any, else on the first that learns."""
  config = config or MeshConfig()
  learners = _learners(config)
  return Mesh(np.array(jax.local_devices()[len(learners) :] or learners[:1]), (DATA,))


def describe(learners: Mesh, actors: Mesh) -> str:
  """One line for people: how many devices of which kind learn and act."""
  data, model = learners.shape[DATA], learners.shape[MODEL]
  split = f" ({data} shares of a batch, weights over {model})" if model > 1 else ""
  apart = set(actors.devices.flat) - set(learners.devices.flat)
  acting = f", and {len(apart)} to act" if apart else ""
  return f"devices: {learners.size} x {learners.devices.flat[0].device_kind}{split}{acting}"


def _learners(config: MeshConfig) -> list[Any]:
  devices = jax.local_devices()
  acting = config.policy if config.policy is not None else int(_has_reserved_device())
  if acting >= len(devices):
    raise ValueError(
      f"mesh.policy={acting} leaves none of {len(devices)} devices to learn: use at most {len(devices) - 1}"
    )
  return devices[: len(devices) - acting]


def _has_reserved_device() -> bool:
  return jax.default_backend() == "cpu" and _one_acts
