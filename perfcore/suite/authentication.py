"""The kinds of `auth`: who sends a request, and how that is proved.

Basic and Bearer are a header that is known before the request; digest, ntlm and negotiate take rounds with the
server, aws_sigv4 signs each request. Texts may be templates, except where a server's answer must not depend on
the request (`LOAD_TIME_KEYS`).
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema

from perfcore.suite import not_yet
from perfcore.suite.field_types import Text, read_word
from perfcore.suite.mistakes import Mistake, ModelError, shown
from perfcore.suite.model import SuiteModel, make_model

# Texts of an auth block that are the same for every request.
LOAD_TIME_KEYS = frozenset({"region", "service"})


def _only(word: str) -> tuple[PlainValidator, WithJsonSchema]:
    return PlainValidator(read_word((word,))), WithJsonSchema({"const": word})


_PASSWORD = "password; keep it out of the file: ${PASSWORD} or ${file:path}"


class BasicAuth(SuiteModel):
    """`auth: {type: basic, username: …, password: …}`"""

    type: Annotated[Literal["basic"], *_only("basic")] = Field(
        default="basic", description="Basic authentication"
    )
    username: Text = Field(description="user name")
    password: Text = Field(repr=False, description=_PASSWORD)


class BearerAuth(SuiteModel):
    """`auth: {type: bearer, token: …}`"""

    type: Annotated[Literal["bearer"], *_only("bearer")] = Field(
        default="bearer", description="Authorization: Bearer TOKEN"
    )
    token: Text = Field(repr=False, description="token; keep it out of the file: ${TOKEN} or ${file:path}")


class DigestAuth(SuiteModel):
    """`auth: {type: digest, username: …, password: …}`"""

    type: Annotated[Literal["digest"], *_only("digest")] = Field(
        default="digest", description="Digest authentication"
    )
    username: Text = Field(description="user name")
    password: Text = Field(repr=False, description=_PASSWORD)


class NtlmAuth(SuiteModel):
    """`auth: {type: ntlm, username: …, password: …}`"""

    type: Annotated[Literal["ntlm"], *_only("ntlm")] = Field(default="ntlm", description="NTLM")
    username: Text = Field(description="user name, or DOMAIN\\user")
    password: Text = Field(repr=False, description=_PASSWORD)


class NegotiateAuth(SuiteModel):
    """`auth: {type: negotiate}`: Kerberos with the ticket of whoever started perfcore, or of the given user."""

    type: Annotated[Literal["negotiate"], *_only("negotiate")] = Field(
        default="negotiate", description="Negotiate (Kerberos)"
    )
    username: Text | None = Field(default=None, description="user name; without one the ticket cache is used")
    password: Text | None = Field(default=None, repr=False, description=_PASSWORD)

    @classmethod
    def combinations(cls, data: Mapping[str, Any]) -> Iterator[Mistake]:
        for key, other in (("username", "password"), ("password", "username")):
            if data.get(key) is None and data.get(other) is not None:
                text = f"is missing; give both, or leave out {other} to use the ticket cache"
                yield Mistake((key,), text)


class AwsSigV4Auth(SuiteModel):
    """`auth: {type: aws_sigv4, access_key: …, secret_key: …, region: …, service: …}`"""

    type: Annotated[Literal["aws_sigv4"], *_only("aws_sigv4")] = Field(
        default="aws_sigv4", description="signature of Amazon Web Services, version 4"
    )
    access_key: Text = Field(repr=False, description="access key")
    secret_key: Text = Field(repr=False, description="secret key; keep it out of the file: ${NAME}")
    region: Text = Field(description="region, such as eu-central-1")
    service: Text = Field(description="service, such as s3 or execute-api")


AuthModel = BasicAuth | BearerAuth | DigestAuth | NtlmAuth | NegotiateAuth | AwsSigV4Auth
AUTH_MODELS: dict[str, type[AuthModel]] = {
    "basic": BasicAuth,
    "bearer": BearerAuth,
    "digest": DigestAuth,
    "ntlm": NtlmAuth,
    "negotiate": NegotiateAuth,
    "aws_sigv4": AwsSigV4Auth,
}
AUTH_TYPES = tuple(AUTH_MODELS)
AUTH_FORMS = (
    "{type: basic, username: …, password: …} (so digest, ntlm, negotiate), {type: bearer, token: …} "
    "or {type: aws_sigv4, access_key: …, secret_key: …, region: …, service: …}"
)


def _read_auth(value: object) -> object:
    if value is None or isinstance(value, AuthModel):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(f"{shown(value)} is not a mapping; write {AUTH_FORMS}")
    kind = value.get("type")
    if kind is None:
        raise ModelError("", [Mistake(("type",), f"is missing; write {AUTH_FORMS}")])
    if isinstance(kind, str) and kind in AUTH_MODELS:
        return make_model(AUTH_MODELS[kind], value)
    choices = ", ".join(AUTH_TYPES)
    if isinstance(kind, str) and kind in not_yet.AUTH_TYPES:
        raise ModelError("", [Mistake(("type",), f"{kind!r} is not supported yet; write one of {choices}")])
    raise ModelError("", [Mistake(("type",), f"{shown(kind)} is not one of {choices}")])


AuthField = Annotated[AuthModel | None, BeforeValidator(_read_auth)]
