"""The option that names a model kind, the same for every command."""

from typing import Annotated, Final, TypeAlias, get_args

import typer

from services.settings import TrainSettings

KINDS: Final[tuple[str, ...]] = get_args(TrainSettings.model_fields["kind"].annotation)


def is_kind(value: str | None) -> str | None:
    if value is not None and value not in KINDS:
        raise typer.BadParameter(f"{value!r} is not one of {', '.join(KINDS)}")
    return value


KindOption: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="|".join(KINDS), callback=is_kind, help="The model kind. Unset: NIGHTJAR_TRAIN__KIND."),
]
