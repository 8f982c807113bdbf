"""Defines the option of every command that reads a stored configuration: which of the
code that it names may run."""

from dataclasses import dataclass, field

from dreamerax.own_code import EVERYTHING, NOBODY, Trust


@dataclass(frozen=True)
class TrustOption:
  """Fields of a command's arguments."""

  trust: tuple[str, ...] | None = field(default=None, kw_only=True)
  """Your own code that may run because a stored configuration names it: packages, modules or module:name. Without names:
  whatever it names. By default none does."""

  @property
  def trusted(self) -> Trust:
    """The code that the option names."""
    return to_trust(self.trust)


def to_trust(words: tuple[str, ...] | None) -> Trust:
  """Reads the words behind --trust, or None where it was not given."""
  return NOBODY if words is None else Trust.of(words) if words else EVERYTHING
