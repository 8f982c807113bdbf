"""Keeps a dream for each browser tab, in the JSON that the page reads."""

import base64
import dataclasses
import itertools
import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

import imageio.v3 as imageio
import jax
import numpy as np

from dreamerax.images import colored
from dreamerax.runtime.seeds import key
from dreamerax.types import GOAL
from dreamerax.viewer.dreams import Dream, Dreamer, Frame
from dreamerax.viewer.starts import Starts


class Forgotten(LookupError):
  """A dream that nobody has been in for too long."""


class _Session(NamedTuple):
  """One dream, and how it began."""

  start: tuple[Dream, Frame]
  now: Dream


class Sessions:
  """Dreams by name. The one longest left alone makes way for a new one where they are too many. Safe in any thread."""

  def __init__(self, dreamer: Dreamer, starts: Starts, *, title: Mapping[str, str], seed: int, most: int = 64):
    """
    Args:
      title: what the page says of the run.
      seed: of all draws; the n-th dream has its own.
      most: dreams that are remembered.
    """
    self._dreamer, self._starts, self._title, self._most = dreamer, starts, title, most
    self._key, self._numbers = key(seed), itertools.count()
    self._sessions: OrderedDict[str, _Session] = OrderedDict()
    self._lock = threading.Lock()

  def about(self) -> dict[str, Any]:
    """Returns what the page has to know of the run."""
    return {
      "title": self._title,
      "action": dataclasses.asdict(self._dreamer.agent.spec.action),
      "decoded": self._dreamer.agent.decoded,
      "starts": self._starts.label,
    }

  def begin(self, where: float) -> dict[str, Any]:
    """A new dream from that start: its name, the last thing really seen, the goal that was shown with it, and the first frame.

    Raises:
      ValueError: there is no such start.
    """
    start = self._starts.at(where)
    with self._lock:
      key = jax.random.fold_in(self._key, next(self._numbers))
      began = self._dreamer.begin(start.steps, key)
      name = self._open(_Session(began, began[0]))
    spec, last = self._dreamer.agent.spec, jax.tree.map(lambda x: x[-1], start.steps.observation)
    goal = {each.removeprefix(GOAL): array for each, array in last.items() if each.startswith(GOAL)}
    shown = {"seen": _pictures({each: last[each] for each in spec.visible}), "goal": _pictures(goal)}
    return {"dream": name, "start": start.label, **shown, **_answer(began[1])}

  def again(self, name: str) -> dict[str, Any]:
    """A new dream that begins as that one did, with the same draws, so that they differ by the actions alone.

    Raises:
      Forgotten: there is no such dream.
    """
    with self._lock:
      began = self._session(name).start
      return {"dream": self._open(_Session(began, began[0])), **_answer(began[1])}

  def step(self, name: str, action: list[float] | None) -> dict[str, Any]:
    """The next frame of that dream.

    Args:
      action: [A]; None lets the behaviour choose.

    Raises:
      Forgotten: there is no such dream. ValueError: the action is none.
    """
    with self._lock:
      session = self._session(name)
      dream, frame = self._dreamer.step(session.now, None if action is None else np.asarray(action, np.float32))
      self._sessions[name] = session._replace(now=dream)
    return _answer(frame)

  def close(self) -> None:
    """Waits for what is being computed, as a process that ends meanwhile crashes; whoever asks afterwards waits for ever."""
    self._lock.acquire()

  def _open(self, session: _Session) -> str:
    name = secrets.token_urlsafe(12)
    self._sessions[name] = session
    if len(self._sessions) > self._most:
      self._sessions.popitem(last=False)
    return name

  def _session(self, name: str) -> _Session:
    if name not in self._sessions:
      raise Forgotten("this dream has been forgotten: begin another")
    self._sessions.move_to_end(name)
    return self._sessions[name]


def _pictures(observation: Mapping[str, np.ndarray]) -> dict[str, str]:
  """The images of one observation, as addresses."""
  return {name: _png(colored(x)) for name, x in observation.items() if x.dtype == np.uint8 and x.ndim == 3}


def _answer(frame: Frame) -> dict[str, Any]:
  arrays = {
    "action": None if frame.action is None else frame.action.tolist(),
    "pictures": {name: _png(picture) for name, picture in frame.pictures.items()},
    "vectors": {name: vector.tolist() for name, vector in frame.vectors.items()},
  }
  return {**frame._asdict(), **arrays}


def _png(picture: np.ndarray) -> str:
  """uint8 [H, W, 3] as the address of a picture."""
  return "data:image/png;base64," + base64.b64encode(imageio.imwrite("<bytes>", picture, extension=".png")).decode()
