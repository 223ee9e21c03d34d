"""`broker serve`: the broker in the foreground, for a container or systemd, with a door for many."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from broker.cli import render
from broker.cli.connection import config_file, use_config
from broker.model.errors import InvalidInput


def serve(
    listen: Annotated[str, typer.Option("--listen", metavar="HOST:PORT", help="Where it answers.")] = "127.0.0.1:8080",
    workers: Annotated[int, typer.Option("--workers", help="Processes that answer; more than 1 need PostgreSQL.")] = 1,
    tls_cert: Annotated[Path | None, typer.Option("--tls-cert", help="Certificate chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", help="Its key, PEM.")] = None,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="A proxy ends TLS, and is the only one that reaches it.")
    ] = False,
    drain: Annotated[str, typer.Option("--drain", help="Answers for so long after SIGTERM, while not ready.")] = "3s",
    no_dispatch: Annotated[
        bool, typer.Option("--no-dispatch", help="Only answer; other brokers of the database run jobs.")
    ] = False,
    config: Annotated[str | None, typer.Option("--config", metavar="FILE", help="Configuration to use.")] = None,
) -> None:
    """Run the broker here, with a door for others.

    Everyone who asks needs a token of `broker token create`. What runs in the pools goes on when it ends.
    Example: broker serve --listen 0.0.0.0:8443 --tls-cert tls.crt --tls-key tls.key
    """
    from broker.api.door import door
    from broker.api.serve import run
    from broker.api.server import log_as_json
    from broker.run.settings import load_settings
    from broker.spec.quantities import duration

    use_config(config)
    try:
        drain_s = duration(drain)
    except ValueError as error:
        raise InvalidInput(f"--drain: {error}") from error
    here = door(listen, workers=workers, certificate=tls_cert, key=tls_key, behind_proxy=behind_proxy, drain_s=drain_s)
    settings = load_settings(config_file())
    log_as_json()
    run(settings, lambda line: render.say(f"  {line}", style="dim"), here, drives=not no_dispatch)
