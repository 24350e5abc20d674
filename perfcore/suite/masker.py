"""Nothing secret is written: the Masker takes secret values out of whatever is about to be.

What is secret: the values of the names in `secrets`, everything read by `${file:…}`, passwords and tokens of `auth`,
credentials in headers, and the values of fields, parameters and variables whose name announces one. A value is
recognised as it is and as encodings write it, in either case, and at the end of a text that was cut in its middle.
Values of fewer than four characters are masked where they stand alone (a header, a parameter) but not inside text:
masking every "1" would ruin the figures.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from perfcore.suite.command_words import masked_words
from perfcore.suite.secret_fields import mask_fields
from perfcore.suite.secret_index import SecretIndex, without
from perfcore.suite.secret_names import (
    HARMLESS_HEADERS,
    MASK,
    URL_HEADERS,
    looks_secret,
    mask_url,
    mask_userinfo,
    only_references,
)
from perfcore.suite.secret_values import (
    expectation_secrets,
    request_secrets,
    scope_secrets,
    tag_secrets,
    url_secrets,
)
from perfcore.suite.test_suite import TestSuite


class Masker:
    """Replaces secret values by `***`. Made once; safe to use from any process."""

    def __init__(self, values: Iterable[str] = (), *, names: Iterable[str] = ()) -> None:
        """`names` are secret whatever they are called: those of `secrets:`."""
        self._indexes: tuple[SecretIndex, ...] = (SecretIndex(values),)
        self._names = frozenset(names)

    @classmethod
    def for_suite(cls, suite: TestSuite, environ: Mapping[str, str] | None = None) -> "Masker":
        """Knows every secret of the suite; `environ` adds the values that its secret names have there."""
        return cls(suite_secrets(suite, environ), names=suite.secrets)

    def also(self, values: Iterable[str]) -> "Masker":
        """One that knows these values too."""
        more = Masker(names=self._names)
        more._indexes = (*self._indexes, SecretIndex(values))
        return more

    def announces(self, name: str) -> bool:
        """Whether a variable, field or tag of this name is secret."""
        return name in self._names or looks_secret(name)

    def text(self, text: str, *, is_cut: bool = False) -> str:
        """The text without any secret value; `is_cut` says that it may end in the middle of one."""
        return without(
            text, [span for index in self._indexes for span in index.spans(text, is_cut=is_cut)], MASK
        )

    def answer(self, text: str, *, is_cut: bool = False) -> str:
        """What a server said (a body, or a message that quotes it) without known secrets, without values of fields
        whose names announce one, and without users and passwords in URLs."""
        return mask_fields(mask_userinfo(self.text(text, is_cut=is_cut)))

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers with every value masked but those of a few harmless ones."""
        return {self.text(name): self._header(name.lower(), value) for name, value in headers.items()}

    def _header(self, name: str, value: str) -> str:
        if name not in HARMLESS_HEADERS:
            return value if only_references(value) else MASK
        # A server that repeats what it was sent may cut it.
        return self.text(mask_url(value) if name in URL_HEADERS else value, is_cut=True)

    def url(self, url: str) -> str:
        """The URL without user, password, and values of parameters whose names announce a secret."""
        return self.text(mask_url(url))

    def field(self, name: str, value: object) -> object:
        """A value of a body, form or query, masked whole when its name announces a secret, else inside."""
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.field(str(key), entry) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return [self.field(name, entry) for entry in value]
        if self.announces(name) and value is not None and not isinstance(value, bool):
            return value if isinstance(value, str) and only_references(value) else MASK
        return self.answer(value) if isinstance(value, str) else value

    def tags(self, tags: Mapping[str, str]) -> dict[str, str]:
        """Tags with their secret values masked."""
        return {self.text(name): str(self.field(name, value)) for name, value in tags.items()}

    def command_line(self, words: Sequence[str]) -> list[str]:
        """The words of a command line; of `--var` and `--tag` with a secret name the value is masked whole."""
        return [self.url(word) for word in masked_words(words, self.announces)]


def suite_secrets(suite: TestSuite, environ: Mapping[str, str] | None = None) -> Iterator[str]:
    """Every secret value of the suite, and those that its secret names have in `environ`."""
    environ = environ or {}
    yield from (environ[name] for name in suite.secrets if name in environ)
    yield from url_secrets(suite.base_url)
    yield from tag_secrets(suite.tags)
    for case in suite.tests:
        yield from tag_secrets(case.tags)
        yield from expectation_secrets(case.expect.model_dump(include={"header", "body_contains"}))
        yield from expectation_secrets(
            {"json": {check.path: check.wanted for check in case.expect.json_conditions}}
        )
        yield from url_secrets(getattr(case, "proxy", "") or "")
        yield from request_secrets(case.request_data(), suite.scope)
    # Last: compiling the texts above has read every file that a request takes.
    yield from scope_secrets(suite.secrets, suite.scope)
