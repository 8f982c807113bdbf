"""Poles that fall: a pendulum that a torque turns and one on a cart that a force pushes, as PCC's code defines them."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

_GRAVITY = 9.81  # m / s²
_POLE, _CART = 0.1, 1.0  # masses in kg
_LENGTH = 0.5  # of the pendulum, and to the middle of the cart's pole, in m
_SECONDS = 0.02  # of a step


@dataclass(frozen=True)
class Pendulum:
  """A state is the angle from upright and its velocity (rad, rad/s); an action is the torque (Nm) against the angle.

  The torque of the published tasks exceeds the weight's 0.49 Nm: the pendulum can be lifted without swinging.
  """

  side: int = field(default=48, init=False)  # of the picture
  frames: int = field(default=2, init=False)  # pictures that show a state
  limit: float = 0.65  # Nm
  actions: int = field(default=1, init=False)

  def move(self, state: np.ndarray, action: np.ndarray) -> np.ndarray:
    """The state [2] after 0.02 s under a torque [1]."""
    inertia = _POLE * _LENGTH**2 / 3

    def velocity(state: np.ndarray) -> np.ndarray:
      torque = _POLE * _GRAVITY * _LENGTH * np.sin(state[0]) - action[0]
      return np.array([state[1], torque / inertia])

    angle, rate = _after(velocity, state)
    return np.array([_wrapped(angle), np.clip(rate, -3 * np.pi, 3 * np.pi)])

  def allows(self, state: np.ndarray) -> bool:
    return True

  def in_goal(self, state: np.ndarray, goal: np.ndarray) -> bool:
    """Whether the angle is within 30° of the goal's."""
    return bool(abs(_wrapped(state[0] - goal[0])) <= np.pi / 6)

  def draw(self, state: np.ndarray) -> np.ndarray:
    """uint8 [48, 48]: white on black; upright is up."""
    picture, middle, length = Image.new("L", (self.side, self.side)), self.side / 2, self.side / 2 - 2
    end = (middle + np.sin(state[0]) * length, middle - np.cos(state[0]) * length)
    ImageDraw.Draw(picture).line((middle, middle, *end), width=4, fill=255)
    return np.array(picture)


@dataclass(frozen=True)
class CartPole:
  """A state is the pole's angle from upright and its velocity (rad, rad/s), the cart's place and its velocity (m, m/s).

  An action is the force on the cart (N). The track has no end; the picture shows 2.4 m on both sides.
  """

  side: int = field(default=80, init=False)  # of the picture
  frames: int = field(default=2, init=False)  # pictures that show a state
  limit: float = 10.0  # N
  actions: int = field(default=1, init=False)

  def move(self, state: np.ndarray, action: np.ndarray) -> np.ndarray:
    """The state [4] after 0.02 s under a force [1]."""
    total, moment = _POLE + _CART, _POLE * _LENGTH

    def velocity(state: np.ndarray) -> np.ndarray:
      angle, rate, _, speed = state
      push = action[0] + moment * rate**2 * np.sin(angle)
      turning = total * _GRAVITY * np.sin(angle) - np.cos(angle) * push
      turning /= 4 / 3 * total * _LENGTH - moment * np.cos(angle) ** 2
      return np.array([rate, turning, speed, (push - moment * turning * np.cos(angle)) / total])

    angle, rate, place, speed = _after(velocity, state)
    return np.array([_wrapped(angle), np.clip(rate, -2 * np.pi, 2 * np.pi), place, np.clip(speed, -6, 6)])

  def allows(self, state: np.ndarray) -> bool:
    return True

  def in_goal(self, state: np.ndarray, goal: np.ndarray) -> bool:
    """Whether the angle is within 18° of the goal's, wherever the cart is."""
    return bool(abs(_wrapped(state[0] - goal[0])) <= np.pi / 10)

  def draw(self, state: np.ndarray) -> np.ndarray:
    """uint8 [80, 80]: white on black."""
    width, height = self.side / 10, self.side / 20  # half the cart's
    x = self.side / 2 + state[2] / 2.4 * (self.side / 2 - width)
    y = self.side - 2 * height - 2
    end = (x + np.sin(state[0]) * 0.65 * self.side, y - np.cos(state[0]) * 0.65 * self.side)
    picture = Image.new("L", (self.side, self.side))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((x - width, y - height, x + width, y + height), fill=255)
    pen.line((x, y, *end), width=6, fill=255)
    return np.array(picture)


def _after(velocity: Callable[[np.ndarray], np.ndarray], state: np.ndarray) -> np.ndarray:
  """`state` one step later, by the classical Runge-Kutta method."""
  one = velocity(state)
  two = velocity(state + _SECONDS / 2 * one)
  three = velocity(state + _SECONDS / 2 * two)
  four = velocity(state + _SECONDS * three)
  return state + _SECONDS / 6 * (one + 2 * two + 2 * three + four)


def _wrapped(angle: float) -> float:
  """The same angle in [-π, π)."""
  return (angle + np.pi) % (2 * np.pi) - np.pi
