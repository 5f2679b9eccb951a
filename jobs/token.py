"""`linkcast token`: a bearer token for the views."""

from __future__ import annotations

import enum
from typing import Annotated, Final

import msgspec
import typer

from jobs.problem import Problem
from streams.settings import Settings
from streams.web.tokens import Claims, Tokens
from topics import limits

_HOUR_S: Final = 3_600.0

app = typer.Typer(add_completion=False)


class Role(enum.StrEnum):
    """What a token's holder may be."""

    USER = "user"
    GATEWAY = "gateway"
    ADMIN = "admin"


@app.command()
def token(
    context: typer.Context,
    application: Annotated[str, typer.Argument(metavar="APP", help="The app it is good for.")],
    sub: Annotated[str, typer.Argument(help="Who holds it: the user, the gateway, the admin.")],
    role: Annotated[Role, typer.Option(help="A user sees what that user may; the others the whole app.")] = Role.USER,
    hours: Annotated[float, typer.Option(min=0.01, max=limits.TOKEN_S / _HOUR_S, help="How long it is good.")] = 24.0,
    key: Annotated[str | None, typer.Option(help="The name of the key that signs it. Default: the first one.")] = None,
) -> None:
    """Print a token for the web views, signed with a key of this cluster.

    For example: curl -H "Authorization: Bearer $(linkcast token acme alice)" http://127.0.0.1:18080/v1/…
    """
    settings: Settings = context.obj
    try:
        claims = msgspec.convert({"app": application, "role": role.value, "sub": sub}, Claims)
    except msgspec.ValidationError as error:
        raise Problem(f"{error}.\nAn id has letters, digits and _ . @ - only, {limits.ID_CHARS} at most.") from None
    tokens = Tokens.of(settings)
    if key is not None and key not in tokens.keys:
        raise Problem(f"There is no key `{key}`.\nThe keys of this cluster: {', '.join(tokens.keys)}")
    typer.echo(tokens.mint(claims, hours * _HOUR_S, key))
