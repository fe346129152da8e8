"""`ignition-bridge publish …`: what an integrator needs to show the agent's tables as tags."""

from __future__ import annotations

import sys

import typer

from bridge.errors import ConfigError

publish = typer.Typer(no_args_is_help=True, help="The agent's tables as tags.")

_SHORTEST = 8


@publish.command()
def password() -> None:
    """Ask for a password and print the line that publish.opcua.users.NAME.password_hash wants.

    The password is asked for twice and never shown; from a pipe it is the first line of the input.
    """
    if sys.stdin.isatty():
        given = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        given = sys.stdin.readline().rstrip("\r\n")
    if len(given) < _SHORTEST:
        raise ConfigError([f"the password is too short: wanted at least {_SHORTEST} characters"])
    from bridge.publish.passwords import hash_password  # scrypt needs OpenSSL; only here it is needed

    typer.echo(hash_password(given))
