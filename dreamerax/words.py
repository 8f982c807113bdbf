"""Numbers with their nouns, and text from files, as messages have them."""


def number_of(number: int, noun: str, plural: str = "") -> str:
  """1 episode, 2,000 episodes. plural: where it is not the noun and an s."""
  return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def printable(text: str) -> str:
  """Text from elsewhere as one line that moves no cursor: a character that is not printed is written as its escape."""
  return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
