"""`homezoo edit profile`: measures a model once, so that facts can be written into it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from homezoo.commands.edit.options import (
    LanguageOption,
    ProfileOption,
    RelationsOption,
    facts_of,
    open_reader,
    relations_of,
    stages,
)
from homezoo.commands.options import JsonOption, ModelArgument, ThreadsOption, read_text
from homezoo.edit.profile import Measured, profile_folder, save_profile
from homezoo.errors import OptionError

DETAILS = (
    "Finds the position and the layer at which the model holds facts, sums up the keys of that "
    "layer over a text of yours, and tries edits to choose how strongly the rest is protected and "
    "how far each change is carried. "
    "The profile is kept by the hash of the model file. --graph gives facts that the model may "
    "know already; those that it answers right are protected, and serve as canaries."
)

TextOption = Annotated[Path, typer.Option("--text", metavar="FILE", help="any ordinary UTF-8 text")]
GraphOption = Annotated[
    Path | None, typer.Option("--graph", metavar="FILE", help="facts that the model may know")
]
PositionOption = Annotated[
    str | None, typer.Option(help="prompt_last or subject_last; measured without it")
]
LayersOption = Annotated[
    str | None, typer.Option(help="layers to write into, such as 5 or 4,5; measured without it")
]
StrengthOption = Annotated[
    float | None, typer.Option(help="pseudo-tokens that protect the past (λ); tried without it")
]
ProtectOption = Annotated[
    float | None, typer.Option(help="weight of a known fact's key; tried without it")
]
GainOption = Annotated[
    float | None,
    typer.Option(help="so many times as long as found each change is written; tried without it"),
]
PlannedOption = Annotated[int, typer.Option(help="facts that you expect to write", min=1)]
TemplatesOption = Annotated[int, typer.Option(help="wordings of each fact to edit with", min=1)]
SpreadOption = Annotated[
    bool, typer.Option("--spread", help="each fact into all of --layers, not into one of them")
]
MethodOption = Annotated[str, typer.Option(help="memit, rome, emmet or alphaedit")]
SearchOption = Annotated[str, typer.Option(help="full, or draft: one gradient for each fact")]
StopOption = Annotated[
    float, typer.Option(help="nats at which a fact is learned; higher is gentler, and weaker")
]


def command(
    model: ModelArgument,
    text: TextOption,
    graph: GraphOption = None,
    relations: RelationsOption = None,
    profile: ProfileOption = None,
    position: PositionOption = None,
    layers: LayersOption = None,
    strength: StrengthOption = None,
    protect: ProtectOption = None,
    gain: GainOption = None,
    planned: PlannedOption = 100,
    templates: TemplatesOption = 1,
    spread: SpreadOption = False,
    method: MethodOption = "memit",
    search: SearchOption = "full",
    stop: StopOption = 0.01,
    language: LanguageOption = "en",
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measures with progress on standard error, then says what was found."""
    from homezoo.edit.fit import fit_profile
    from homezoo.edit.targets import SearchSettings
    from homezoo.edit.wishes import Wishes

    if spread and "," not in (layers or ""):
        raise OptionError("--spread needs the layers to spread over, such as --layers 4,5")
    known = relations_of(relations)
    facts = facts_of(graph, known, language=language, known_only=True) if graph else []
    wishes = Wishes(
        position=cast(Any, position),  # Profile checks it
        layers=tuple(int(part) for part in layers.split(",")) if layers else None,
        strength=strength,
        protected=protect,
        gain=gain,
        planned=planned,
        templates=templates,
        method=cast(Any, method),
        spread=spread,
        search=SearchSettings(cast(Any, search), stop=stop),
    )
    with open_reader(model, threads) as reader, stages() as tell:
        folder = profile or profile_folder(reader.identity.weights)
        measured = fit_profile(reader, read_text(text), facts, known, folder, wishes, tell)
        save_profile(folder, measured)
    if as_json:
        print(json.dumps(asdict(measured.profile) | {"folder": str(folder)}))
        return
    print("\n".join(lines_of(measured)))
    print(f"kept in {folder}")


def lines_of(measured: Measured) -> list[str]:
    """The profile for people."""
    profile, found = measured.profile, measured.profile.measured
    lines = [
        f"facts are written at {profile.position}, layer "
        f"{', '.join(map(str, profile.layers))} (counted from 0)"
        + (", each into all of them" if profile.spread else ""),
        f"the model knows {found.get('known', 0)} of {found.get('asked', 0)} facts of the graph",
        f"covariance of {profile.tokens:,} tokens, keys of width {profile.width:,}",
        f"protection: λ = {profile.strength:g}, weight of a known fact {profile.protected:g}; "
        f"gain {profile.gain:g}",
    ]
    for name, rates in found.get("rates", {}).items():
        shown = " ".join(f"{rate:.0%}" for rate in rates)
        lines.append(f"answers that follow the state at {name}, layer by layer: {shown}")
    for row in found.get("trials", []):
        figures = ", ".join(f"{k} {v:.1%}" for k, v in row.items()
                            if k not in ("strength", "protected", "gain"))  # fmt: skip
        lines.append(f"tried λ = {row['strength']:g}, weight {row['protected']:g}, "
                     f"gain {row['gain']:g}: {figures}")  # fmt: skip
    return lines
