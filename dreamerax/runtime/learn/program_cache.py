"""The cache of compiled programs: an entry appears whole or not at all, and one that is torn is removed."""

import logging
from pathlib import Path

import jax
from jax._src import compilation_cache  # nothing public gives jax another cache, nor says which entry it could not read
from jax._src.lru_cache import LRUCache

from dreamerax.files import write_whole

_log = logging.getLogger(__name__)
_SUFFIX = "-cache"  # of jax's files


class WholeCache(LRUCache):
  """jax's own cache in a directory, with the same files.

  jax writes an entry in place, so that a kill leaves half of it, and never replaces what is there: every later start would fail
  to read it, warn, and compile again.
  """

  def get(self, key: str) -> bytes | None:
    """The compressed program, or None where there is none that is whole."""
    value = super().get(key)
    if value is None or _is_whole(value):
      return value
    path = self.path / f"{key}{_SUFFIX}"
    path.unlink(missing_ok=True)
    _log.warning("%s was torn, by a kill or a full disk; it is removed, and its program compiled again", path)
    return None

  def put(self, key: str, value: bytes) -> None:
    """Adds an entry; one that is there stays."""
    if self.eviction_enabled or "://" in str(self.path):  # jax counts bytes there, or the directory is no local one
      super().put(key, value)
    else:
      write_whole(Path(self.path) / f"{key}{_SUFFIX}", value, replace=False)


def install() -> None:
  """Has jax use it from its first compilation on."""
  compilation_cache.get_file_cache = _make


def _make(path: str) -> tuple[LRUCache, str]:
  return WholeCache(path, max_size=jax.config.values["jax_compilation_cache_max_size"]), path


def _is_whole(value: bytes) -> bool:
  try:
    return len(compilation_cache.decompress_executable(value)) > 0
  except Exception:  # each of the compressors that jax may use has errors of its own
    return False
