"""`linkcast token-key`: a new key that signs tokens."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.problem import Problem
from streams.settings import KEYS_FILE, is_key_name, new_key

app = typer.Typer(add_completion=False)


@app.command(
    help=f"""Print a new key for `token_keys`: `NAME:secret`, the secret from the system's randomness.

    To change keys without refusing any good token, restart the workers one by one after each of these steps: add the
    new key behind the old one; put it first; once every token of the old one has expired, remove that. Where the
    settings name no keys, they stand in the data folder's `{KEYS_FILE}`, a key a line."""
)
def token_key(name: Annotated[str, typer.Argument(help="Its name: tokens tell which key signed them.")]) -> None:
    """See the help."""
    if not is_key_name(name):
        raise Problem(f"`{name}` is no name for a key: it has letters, digits and _ . @ - only, 64 at most.")
    typer.echo(new_key(name))
