"""Environments that do things to the process that they are made in, and ids of gymnasium that this module registers."""

import os
import signal
import sys
import threading

import gymnasium
import mujoco
import numpy as np
from gymnasium import spaces

from dreamerax.envs.base import Environment
from tests.envs.toys import Counter

_BOX = "<mujoco><worldbody><light pos='0 0 2'/><geom type='box' size='1 1 .1' rgba='1 0 0 1'/></worldbody></mujoco>"


class Room(gymnasium.Env):
  """Five steps of nothing; `floats` where bytes are declared."""

  observation_space = spaces.Box(0, 255, (16, 16, 3), np.uint8)
  action_space = spaces.Discrete(2)

  def __init__(self, floats: bool = False):
    self.frame = np.zeros((16, 16, 3), float if floats else np.uint8)

  def reset(self, *, seed=None, options=None):
    self.clock = 0
    return self.frame, {}

  def step(self, action):
    self.clock += 1
    return self.frame, 1.0, False, self.clock == 5, {}


class Furnished(Room):
  def __init__(self, chairs: int):
    super().__init__()


class Drawn(Room):
  """Draws with MuJoCo itself, and says nothing of how."""

  def reset(self, *, seed=None, options=None):
    model = mujoco.MjModel.from_xml_string(_BOX)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with mujoco.Renderer(model, 16, 16) as renderer:
      renderer.update_scene(data)
      self.frame = renderer.render()
    assert self.frame.any()
    return super().reset(seed=seed)


gymnasium.register("Room-v0", Room)
gymnasium.register("Floats-v0", Room, kwargs={"floats": True})
gymnasium.register("Furnished-v0", Furnished)


def staying(seed: int) -> Environment:
  """Leaves a thread behind."""
  threading.Thread(target=threading.Event().wait, name="watcher of the room").start()
  return Counter(seed)


def deadly(seed: int) -> Environment:
  os.kill(os.getpid(), signal.SIGSEGV)
  return Counter(seed)


def drawn() -> gymnasium.Env:
  return Drawn()


class Leaving(Room):
  """Ends the program that it is in."""

  def step(self, action):
    sys.exit(3)


class Locked(Room):
  def close(self):
    raise RuntimeError("locked")


def vanishing(seed: int) -> Environment:
  os._exit(0)
