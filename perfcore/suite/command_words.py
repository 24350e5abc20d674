"""The words of a command line that give values to names: `--var TOKEN=…`, `--tag=owner=…`.

Without the packages that read a suite, so that the title of the process can be put right before they are loaded.
"""

from collections.abc import Callable, Iterable, Iterator

from perfcore.suite.secret_names import MASK

PAIR_OPTIONS = ("--var", "--tag")


def masked_words(words: Iterable[str], is_secret: Callable[[str], bool]) -> Iterator[str]:
    """The words, with the value masked of every pair whose name is secret."""
    follows_option = False
    for word in words:
        option, equals, pair = word.partition("=")
        if follows_option:
            yield _masked_pair(word, is_secret)
        elif equals and option in PAIR_OPTIONS:
            yield f"{option}={_masked_pair(pair, is_secret)}"
        else:
            yield word
        follows_option = not follows_option and word in PAIR_OPTIONS


def given_values(words: Iterable[str], twin: str) -> Iterator[str]:
    """The values that `--var` and `--tag` give, or that the environment twin of `--var` does, one a line."""
    follows_option = False
    for word in words:
        option, equals, pair = word.partition("=")
        if follows_option or (equals and option in PAIR_OPTIONS):
            yield (word if follows_option else pair).partition("=")[2]
        follows_option = not follows_option and word in PAIR_OPTIONS
    yield from (line.partition("=")[2] for line in twin.splitlines())


def _masked_pair(pair: str, is_secret: Callable[[str], bool]) -> str:
    name, equals, value = pair.partition("=")
    if not equals:
        return MASK  # a mistake, and then it may be the value alone
    return f"{name}={MASK}" if value and is_secret(name) else pair
