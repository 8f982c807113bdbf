"""The option of every command that reads a stored configuration: which of the code that it names may run."""

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
    """What the option says."""
    return to_trust(self.trust)


def to_trust(words: tuple[str, ...] | None) -> Trust:
  """Of the words behind --trust, and of None where it was not given."""
  return NOBODY if words is None else Trust.of(words) if words else EVERYTHING
