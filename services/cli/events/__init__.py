"""`nightjar events`: events into Kafka, and a look at those that are there. One module a command.

What a command alone needs and is slow to import, it imports itself: `nightjar events send` waits for no Delta Lake.
"""

import typer

from services.cli.events.export_file import export_file
from services.cli.events.import_files import import_files
from services.cli.events.replay import replay
from services.cli.events.send import send
from services.cli.events.tail import tail

app = typer.Typer(
    no_args_is_help=True,
    help="""Events into Kafka.

    Example: `nightjar events send --user 42 --item 50 --type view`.""",
)
app.command("send")(send)
app.command("tail")(tail)
app.command("import")(import_files)
app.command("export")(export_file)
app.command("replay")(replay)
