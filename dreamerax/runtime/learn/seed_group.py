"""Makes one vmapped update for several learners, each of which uses it like an update of its own."""

from collections.abc import Callable, Mapping
from threading import Condition, Lock
from typing import Any

import jax
import jax.numpy as jnp

from dreamerax.runtime.learn.compilation import Program, Source, compile_source

Arguments = tuple[Any, ...]


class SeedGroup:
  """N members with a thread each, whose calls of their programs wait for each other and are answered by one dispatch.

  What a member gets depends on what it gave and on N alone, neither on the others nor on when they call: the program is
  always that of N, and where a member has left, its place computes on with a copy of what another has given.
  """

  def __init__(self, size: int, compile_source: Callable[[Source], Program] = compile_source):
    """size: N."""
    self._size, self._compile = size, compile_source
    self._compiling = Lock()
    self._program: Program | None = None
    self._donated: tuple[int, ...] = ()
    self._changed = Condition()  # guards what follows
    self._present = set(range(size))
    self._asked: dict[int, Arguments] = {}
    self._answers: dict[int, Any] = {}
    self._spare: dict[int, Mapping[int, Any]] = {}  # of members that have left: arguments that belong to the place

  def compile(self, index: int, source: Source) -> Program:
    """Member `index`'s program; all members give equal sources, and the first to come compiles for all."""
    with self._compiling:
      if self._program is None:
        self._donated = source.donated
        self._program = self._compile(vmapped(source, self._size))
      return lambda *arguments: self.call(index, arguments)

  def call(self, index: int, arguments: Arguments) -> Any:
    """Waits until every member that is present has called; whatever the dispatch raises, each of them raises."""
    with self._changed:
      self._asked[index] = arguments
      self._dispatch_if_all_asked()
      self._changed.wait_for(lambda: index in self._answers)
      answer = self._answers.pop(index)
    if isinstance(answer, Exception):
      raise answer
    return answer

  def leave(self, index: int) -> None:
    """The others no longer wait for this member."""
    with self._changed:
      self._present.discard(index)
      self._dispatch_if_all_asked()

  def _dispatch_if_all_asked(self) -> None:
    if not self._asked or self._asked.keys() != self._present:
      return
    asked, self._asked = self._asked, {}
    try:
      answers = self._dispatch(asked)
    except Exception as error:
      answers = dict.fromkeys(asked, error)
    self._answers.update(answers)
    self._changed.notify_all()

  def _dispatch(self, asked: Mapping[int, Arguments]) -> dict[int, Any]:
    assert self._program is not None
    some = next(iter(asked.values()))
    rows = [asked.get(index) or self._filling(index, some) for index in range(self._size)]
    results = self._program(*zip(*rows, strict=True))
    for index in set(range(self._size)) - asked.keys():
      # An argument that gives its memory away comes back as the result of the same number.
      self._spare[index] = {number: results[index][number] for number in self._donated}
    return {index: results[index] for index in asked}

  def _filling(self, index: int, some: Arguments) -> Arguments:
    """Fills the place of a member that has left with another's arguments, with memory
    of its own where that is given away."""
    spare = self._spare.get(index) or {number: _copy(some[number]) for number in self._donated}
    return tuple(spare.get(number, argument) for number, argument in enumerate(some))


def vmapped(source: Source, size: int) -> Source:
  """Takes every argument as a tuple of N, and gives N results; stacks and takes apart on the device, within the program."""

  def together(*arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    stacked = [jax.tree.map(lambda *leaves: jnp.stack(leaves), *members) for members in arguments]
    results = jax.vmap(source.function)(*stacked)
    return tuple(jax.tree.map(lambda leaf: leaf[index], results) for index in range(size))  # noqa: B023

  arguments = tuple((argument,) * size for argument in source.arguments)
  return Source(together, arguments, (source.results,) * size, source.donated)


@jax.jit
def _copy(tree: Any) -> Any:
  return jax.tree.map(jnp.copy, tree)
