"""The `broker` command: words on a command line → calls of the broker, and exit codes that scripts can use.

Commands of this package and of plugins come together here. Everything heavy is imported by the command that needs it,
so that `--help` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from io import TextIOWrapper
from typing import Annotated, Any

import typer

import broker.cli.audit as audit
import broker.cli.budget as budget
import broker.cli.capacity as capacity
import broker.cli.cluster as cluster
import broker.cli.daemon as daemon
import broker.cli.dashboard as dashboard
import broker.cli.importing as importing
import broker.cli.jobs as jobs
import broker.cli.money as money
import broker.cli.project as project
import broker.cli.schedule as schedule
import broker.cli.secret as secret
import broker.cli.serve as serve
import broker.cli.submit as submit
import broker.cli.token as token
import broker.cli.volume as volume
import broker.cli.watch as watch
from broker.cli.breakeven import breakeven
from broker.cli.common_mistakes import OurNames, TakesACommand
from broker.cli.connection import name_state_dir, use_config
from broker.cli.failing import explained
from broker.cli.plugins import add_plugin_commands
from broker.cli.reconcile import reconcile
from broker.model.errors import BrokerError

EXIT_CODES = """
Exit codes: 0 success; 2 what was written is wrong; 3 no broker answers, or it could not start; 4 what was asked for
contradicts what is there; 5 no pool can do it; 6 another error; 130 interrupted. A followed job that ran gives its own
exit code; one that never ran, or was cancelled, gives 1.
"""

app = typer.Typer(
    name="broker",
    cls=OurNames,
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Runs each job where it costs least: on a cluster that is paid by the hour, or on per-second serverless.",
    epilog=EXIT_CODES,
)


@app.callback()
def _options(
    context: typer.Context,
    config: Annotated[str | None, typer.Option("--config", metavar="FILE", help="Configuration to use.")] = None,
) -> None:
    use_config(config)
    if context.invoked_subcommand not in OUR_COMMANDS_WITHOUT_PRICES:
        name_state_dir()


COMMANDS: tuple[Callable[..., int | None], ...] = (
    submit.submit,
    jobs.list_jobs,
    jobs.show,
    watch.logs,
    watch.wait,
    jobs.cancel,
    jobs.retry,
    jobs.explain,
    submit.offers,
    money.spend,
    reconcile,
    money.pools,
    breakeven,
    daemon.up,
    daemon.down,
    daemon.status,
    serve.serve,
    dashboard.dashboard,
    daemon.autopilot,
    audit.audit,
    capacity.forecast,
    capacity.accuracy,
    capacity.counterfactual,
    daemon.version,
)

TAKING_A_COMMAND = (submit.submit, submit.offers)
OUR_COMMANDS_WITHOUT_PRICES = {each.__name__.removesuffix("_jobs") for each in COMMANDS} - {"breakeven"}


def _exiting(command: Callable[..., int | None]) -> Callable[..., None]:
    """The command, whose returned number becomes the exit code."""

    @wraps(command)
    def called(*arguments: Any, **named: Any) -> None:
        if code := command(*arguments, **named):
            raise typer.Exit(code)

    return called


app.add_typer(token.app, name="token")

for each in COMMANDS:
    kind = TakesACommand if each in TAKING_A_COMMAND else None
    app.command(each.__name__.removesuffix("_jobs"), cls=kind)(_exiting(each))
app.add_typer(cluster.app, name="cluster")
app.add_typer(importing.app, name="import")

app.add_typer(budget.app, name="budget")
app.add_typer(schedule.app, name="schedule")
app.add_typer(secret.app, name="secret")
app.add_typer(project.app, name="project")
app.add_typer(volume.app, name="volume")


def main() -> None:
    """Runs the command line and exits with its code."""
    add_plugin_commands(app)
    for out in (sys.stdout, sys.stderr):
        if isinstance(out, TextIOWrapper):
            out.reconfigure(errors="replace")  # a terminal that has no → shows a question mark
    try:
        app()
    except BrokerError as error:
        sys.exit(explained(error))
