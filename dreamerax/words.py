"""Numbers with their nouns, as messages have them."""


def number_of(number: int, noun: str, plural: str = "") -> str:
  """1 episode, 2,000 episodes. plural: where it is not the noun and an s."""
  return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
