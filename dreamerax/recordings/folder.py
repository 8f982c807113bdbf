"""A folder of episodes: spec.json, and one .npz for each episode."""

import io
import json
import lzma
import reprlib
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from dreamerax.envs import violations
from dreamerax.files import read_regular, refuse_links, write_whole
from dreamerax.memory_limit import machine_memory
from dreamerax.recordings import episode as episodes
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec, Transition, to_columns

SPEC = "spec.json"
FORMAT = "dreamerax episodes 1"
_LONGEST = 1000  # characters of a message, which may hold what a file has
_UNREADABLE = (
  *(OSError, ValueError, EOFError, RecursionError, MemoryError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
  RuntimeError,  # an encrypted archive, or one that is packed in a way that Python does not know
  *(SyntaxError, tokenize.TokenError, TypeError, KeyError, OverflowError, struct.error),  # the head of an array
)


class EpisodeFolder:
  """Episodes that share a spec. A file appears whole or not at all, and none is ever overwritten."""

  spec: EnvSpec
  about: Mapping[str, Any]
  """Where the episodes come from, as JSON: "env", the fields of an `EnvConfig`, where `dreamerax record` has written them."""

  def __init__(self, path: str | Path):
    """Reads the folder's spec.

    Raises:
      ValueError: there is no such folder, or its spec.json cannot be read, or it holds a symbolic link.
    """
    self.path = Path(path)
    file = self.path / SPEC
    if not file.is_file():
      raise ValueError(
        f"{self.path} holds no recorded episodes, as it has no {SPEC}: name the folder of `dreamerax record`"
      )
    refuse_links(self.path)
    with _about(file):
      self.spec, self.about = _decode(json.loads(read_regular(file)))

  @classmethod
  def create(cls, path: str | Path, spec: EnvSpec, about: Mapping[str, Any] | None = None) -> "EpisodeFolder":
    """The folder, which is made where it is missing; one that is there gets further episodes.

    Raises:
      ValueError: the spec is none that can be trained on; the folder holds episodes of another spec or source, or other
        files; nothing can be written there.
    """
    for violation in violations.of_spec(spec):
      raise ValueError(str(violation))
    path, about = Path(path), dict(about or {})
    text = json.dumps(_encode(spec, about), indent=2) + "\n"
    try:
      path.mkdir(parents=True, exist_ok=True)
      if not (path / SPEC).exists():
        if any(path.glob("*.npz")):
          raise ValueError(f"{path} has .npz files and no {SPEC}: choose another folder, or write its {SPEC}")
        write_whole(path / SPEC, text, replace=False)
    except OSError as error:
      raise ValueError(f"{path} cannot be written ({error}): choose another folder") from error
    folder = cls(path)
    for name, old, new in (("spec", folder.spec, spec), ("source", folder.about, json.loads(json.dumps(about)))):
      if old != new:
        raise ValueError(
          f"{path / SPEC}: its {name} is {old}, and that of the new episodes {new}: choose another folder"
        )
    return folder

  def files(self) -> list[Path]:
    """Episodes in the order of their names."""
    return sorted(self.path.glob("*.npz"))

  def write(self, episode: Transition) -> Path:
    """Adds an episode [T, ...] under the next free number; returns its file.

    Raises:
      ValueError: it is not what the spec says, or the disk does not take it.
    """
    arrays = to_columns(episode)
    episodes.from_arrays(arrays, self.spec)
    numbers = [file.stem.removeprefix("episode-") for file in self.files()]
    number = max((int(each) + 1 for each in numbers if each.isdecimal()), default=0)
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    while True:
      file = self.path / f"episode-{number:06}.npz"
      try:
        if write_whole(file, content.getvalue(), replace=False):
          return file
      except OSError as error:
        raise ValueError(f"{file} cannot be written ({error}): mend that, or choose another folder") from error
      number += 1  # another recorder has taken it

  def read(self, file: Path) -> Transition:
    """An episode [T, ...], checked.

    Raises:
      ValueError: names the file, the array, what was found and how it is mended.
    """
    with _about(file):
      if not zipfile.is_zipfile(file):
        raise ValueError("it is no whole .npz archive: restore it, or leave it out")
      with np.load(file, allow_pickle=False) as archive:
        if sum(entry.file_size for entry in archive.zip.infolist()) > machine_memory():
          raise ValueError("unpacked it is larger than this machine's memory: leave it out")
        arrays = {name: _array(archive, name) for name in archive.files}
      return episodes.from_arrays(arrays, self.spec)

  def read_all(self) -> list[Transition]:
    """Every episode, checked.

    Raises:
      ValueError: a file is not what the spec says, or there is none.
    """
    files = self.files()
    if not files:
      raise ValueError(f"{self.path} holds no episode (*.npz): record some with `dreamerax record --out {self.path}`")
    return [self.read(file) for file in files]


@contextmanager
def _about(file: Path) -> Iterator[None]:
  """Whatever is wrong with a file is a ValueError that begins with its name."""
  try:
    yield
  except _UNREADABLE as error:
    said = (
      str(error) if type(error) is ValueError else f"it cannot be read ({error or type(error).__name__}): restore it"
    )
    raise ValueError(f"{file}: {said if len(said) <= _LONGEST else said[:_LONGEST] + '...'}") from error


def _array(archive: Any, name: str) -> np.ndarray:
  try:
    return archive[name]
  except ValueError as error:  # NumPy's own message advises to allow pickles
    raise ValueError(f"{name} cannot be read as a plain array ({error}): store numbers, not Python objects") from error


def _encode(spec: EnvSpec, about: Mapping[str, Any]) -> dict[str, Any]:
  observation = {name: asdict(array) for name, array in spec.observation.items()}
  return {"format": FORMAT, "observation": observation, "action": asdict(spec.action), "about": about}


def _decode(data: Any) -> tuple[EnvSpec, Mapping[str, Any]]:
  """Raises ValueError where it is not what `_encode` gives."""
  if not isinstance(data, dict) or data.get("format") != FORMAT:
    found = data.get("format") if isinstance(data, dict) else data
    raise ValueError(f"format is {reprlib.repr(found)}: this version reads {FORMAT!r}")
  try:
    shown = {
      name: ArraySpec(_shape(array["shape"]), str(array["dtype"])) for name, array in data["observation"].items()
    }
    of_action, about = data["action"], dict(data["about"])
    action = ActionSpec(int(of_action["size"]), bool(of_action["discrete"]), tuple(of_action.get("groups", ())))
  except (KeyError, TypeError, AttributeError, ArithmeticError, ValueError) as error:
    raise ValueError(
      f'observation, action or about is not as it should be ({error!r}): it needs {{"observation": {{NAME: {{"shape": '
      '[...], "dtype": ...}}, "action": {"size": N, "discrete": false}, "about": {}}'
    ) from error
  spec = EnvSpec(shown, action)
  for violation in violations.of_spec(spec):
    raise ValueError(str(violation))
  return spec, about


def _shape(sizes: Any) -> tuple[int, ...]:
  if not isinstance(sizes, list) or not all(type(size) is int for size in sizes):
    raise TypeError(f"shape={reprlib.repr(sizes)}")
  return tuple(sizes)
