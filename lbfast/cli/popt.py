"""Reading a command line as the popt library reads it, which is what ipvsadm does."""

from __future__ import annotations

from collections.abc import Sequence

from lbfast.cli.words import Option, Takes

UNKNOWN = "unknown option"
MISSING = "missing argument"
UNWANTED = "option does not take an argument"


class BadWord(Exception):
    """A word that cannot be read: the word as it was typed, and what is wrong with it."""

    def __init__(self, word: str, why: str) -> None:
        super().__init__(f"{word}: {why}")


class Reader:
    """Walks over the words of one command line, from one option to the next.

    Words that are no options wait in `left_over`, in order.
    """

    def __init__(self, argv: Sequence[str], options: Sequence[Option]) -> None:
        self.left_over: list[str] = []
        self._argv = argv
        self._at = 1
        self._cluster = ""  # short options still to be read of a word such as -Ln
        self._only_words = False  # after --
        self.know(options)

    def know(self, options: Sequence[Option]) -> None:
        """Takes `options` as those that exist from here on."""
        self._long = {option.long: option for option in options}
        self._short = {option.short: option for option in options if option.short}

    @property
    def word(self) -> str:
        """The last word taken, as it was typed; it may be the value of an option."""
        return self._argv[self._at - 1]

    def next(self) -> tuple[str, str | None] | None:
        """Returns the next option's long name and value, None at the end; raises BadWord."""
        if not self._cluster:
            word = self._next_dashed()
            if word is None:
                return None
            if word.startswith("--"):
                name, equals, value = word[2:].partition("=")
                if name not in self._long:
                    raise BadWord(self.word, UNKNOWN)
                return self._valued(self._long[name], value if equals else None)
            self._cluster = word[1:]
        letter, rest = self._cluster[0], self._cluster[1:]
        self._cluster = rest.removeprefix("=")
        option = self._short.get(letter)
        if option is None:
            raise BadWord(self.word, UNKNOWN)
        if option.takes is Takes.NOTHING:
            if rest.startswith("="):
                raise BadWord(self.word, UNWANTED)
            return option.long, None
        attached, self._cluster = self._cluster, ""
        return self._valued(option, attached if rest else None)

    def _next_dashed(self) -> str | None:
        """Returns the next word that holds an option, putting the others aside."""
        while self._at < len(self._argv):
            word = self._argv[self._at]
            self._at += 1
            if self._only_words or not word.startswith("-") or word == "-":
                self.left_over.append(word)
            elif word == "--":
                self._only_words = True
            else:
                return word
        return None

    def _valued(self, option: Option, attached: str | None) -> tuple[str, str | None]:
        """Returns `option` with its value: `attached` to it, or the next word."""
        if option.takes is Takes.NOTHING:
            if attached is not None:
                raise BadWord(self.word, UNWANTED)
            return option.long, None
        if attached is not None:
            return option.long, attached
        if self._at == len(self._argv):
            if option.takes is Takes.VALUE:
                raise BadWord(self.word, MISSING)
            return option.long, None
        value = self._argv[self._at]
        if option.takes is Takes.MAYBE and value.startswith("-"):
            return option.long, None
        self._at += 1
        return option.long, value
