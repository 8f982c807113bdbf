"""The newest videos of a run, out of its TensorBoard events."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tensorboardX.proto.event_pb2 import Event  # type: ignore[attr-defined]

_GIF = b"GIF8"


class Animation(NamedTuple):
  """A GIF, as the run made it."""

  name: str  # eval/video, open_loop/image
  env_steps: int
  gif: bytes


def newest_animations(run_dir: Path) -> list[Animation]:
  """The last of each name. Events that a crash has torn, and those after them in their file, are passed over."""
  newest: dict[str, Animation] = {}
  for path in sorted(run_dir.glob("events.out.tfevents.*")):
    for event in _events(path):
      for value in event.summary.value:
        data = value.image.encoded_image_string
        if data.startswith(_GIF) and (value.tag not in newest or newest[value.tag].env_steps <= event.step):
          newest[value.tag] = Animation(value.tag, event.step, data)
  return [newest[name] for name in sorted(newest)]


def _events(path: Path) -> Iterator[Event]:
  """Records are: length (8 bytes), checksum (4), data, checksum (4)."""
  with path.open("rb") as file:
    while len(head := file.read(12)) == 12:
      (length,) = struct.unpack("<Q", head[:8])
      data, tail = file.read(length), file.read(4)
      if len(data) < length or len(tail) < 4:
        return
      event = Event()
      event.ParseFromString(data)
      yield event
