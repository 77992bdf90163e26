"""The command line: `streamweir VERB`. One file a verb; a verb's code is imported when it is used."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from streamweir.cli.exits import exit_code_of, say
from streamweir.errors import StreamweirError

VERBS = (
    "demo",
    "chat",
    "serve",
    "simulate",
    "replay",
    "doctor",
    "keys",
    "config",
    "guard",
    "audit",
    "outbox",
    "vectors",
)


class Verbs(click.Group):
    """Finds a verb's command in the module of its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command = import_module(f"streamweir.cli.{cmd_name}").command
        return command if isinstance(command, click.Command) else None


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="streamweir", prog_name="streamweir")
def group() -> None:
    """The measured gate for LLM token streams.

    Exit codes: 0 done, 2 usage, 3 configuration, 4 authentication or permission, 5 rate limited, 6 upstream or network
    before any content, 7 cut after content, 8 blocked, 124 deadline, 130 Ctrl-C, 1 anything else.
    """


def main() -> None:
    """Run a verb and exit with its code. No traceback for what a person can mend."""
    try:
        code = group.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = 2
    except (click.Abort, KeyboardInterrupt):
        code = 130
    except StreamweirError as error:
        say(f"error: {error.message}")
        code = exit_code_of(error)
    except BrokenPipeError:
        # the reader of our stdout left; nothing can be said there any more
        sys.stderr.close()
        code = 1
    except OSError as error:
        at = f"{error.filename}: " if error.filename else ""
        say(f"error: {at}{error.strerror or error}")
        code = 1
    sys.exit(code if isinstance(code, int) else 0)
