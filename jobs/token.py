"""`linkcast token`: a bearer token for the views, for development."""

from __future__ import annotations

import enum
from typing import Annotated, Final

import msgspec
import typer

from jobs.problem import Problem
from streams.settings import Settings
from streams.web.tokens import Claims, Tokens

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
    hours: Annotated[float, typer.Option(min=0.01, help="How long it is good.")] = 24.0,
) -> None:
    """Print a token for the web views, signed with this cluster's secret.

    For example: curl -H "Authorization: Bearer $(linkcast token acme alice)" http://127.0.0.1:18080/v1/…
    """
    settings: Settings = context.obj
    try:
        claims = msgspec.convert({"app": application, "role": role.value, "sub": sub}, Claims)
    except msgspec.ValidationError as error:
        raise Problem(f"{error}.\nAn id has letters, digits and _ . @ - only, 64 at most.") from None
    typer.echo(Tokens(settings.signing_secret()).mint(claims, hours * _HOUR_S))
