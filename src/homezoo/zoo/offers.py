"""What of a repository can be fetched: each model file, or split model, as one choice."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from homezoo.errors import OptionError
from homezoo.zoo.hub import RemoteFile, Repository

USUAL = "Q4_K_M"  # what most people take; looked at first where none is named
_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.I)
# At the end of a file's name; `UD-` is how one uploader marks own mixes.
_QUANTISATION = re.compile(
    r"(?:^|[-._/])((?:UD-)?(?:I?Q\d(?:_[A-Z0-9]+)*|TQ\d_\d|BF16|F16|F32|FP16|FP32|MXFP4(?:_MOE)?))"
    r"(?=$|[-._/])",
    re.I,
)
_BESIDE = re.compile(r"(?:^|/)(mmproj|imatrix)[-._]|imatrix", re.I)  # no models of their own
_CHECKPOINT = re.compile(
    r"[^/]*(\.safetensors|\.safetensors\.index\.json|\.jinja)|tokenizer[^/]*|"
    r"(config|generation_config|special_tokens_map|added_tokens|vocab|chat_template)\.json|"
    r"(merges|vocab)\.txt"
)
CARD_FILES = re.compile(r"README\.md|(LICEN[CS]E|NOTICE|USE_POLICY)[^/]*", re.I)
CHECKPOINT = "safetensors"  # how the choice of a Hugging Face folder is called


@dataclass(frozen=True)
class Offer:
    """One thing to fetch."""

    name: str  # what is typed after the colon
    quantisation: str | None
    files: tuple[RemoteFile, ...]  # all parts, in order

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(file.size for file in self.files)


def quantisation_of(name: str) -> str | None:
    """`Q4_K_M` of `model-Q4_K_M-00001-of-00002.gguf`; None when the name says none."""
    part = _PART.fullmatch(name)
    stem = part["stem"] if part else name.rpartition(".")[0] or name
    if _BESIDE.search(name):
        return None
    found = _QUANTISATION.findall(stem)
    return str(found[-1]).upper() if found else None


def offers_of(repository: Repository) -> list[Offer]:
    """The models of a repository, the smallest first; at the end its safetensors as one."""
    groups: dict[str, list[RemoteFile]] = {}
    for file in sorted(repository.files, key=lambda file: file.name):
        if file.name.lower().endswith(".gguf"):
            part = _PART.fullmatch(file.name)
            groups.setdefault(part["stem"] if part else file.name, []).append(file)
    offers = [_offer(name, files) for name, files in groups.items()]
    offers.sort(key=lambda offer: (offer.size, offer.name))
    shown = [offer.quantisation for offer in offers]
    offers = [
        Offer(offer.quantisation, offer.quantisation, offer.files)
        if offer.quantisation and shown.count(offer.quantisation) == 1
        else offer
        for offer in offers
    ]
    if any(file.name.endswith(".safetensors") for file in repository.files):
        folder = [file for file in repository.files if _CHECKPOINT.fullmatch(file.name)]
        offers.append(Offer(CHECKPOINT, None, tuple(folder)))
    return offers


def _offer(name: str, files: list[RemoteFile]) -> Offer:
    """HubError is not for here: a set that lacks a part is offered, and its parts are named."""
    return Offer(files[0].name, quantisation_of(files[0].name), tuple(files))


def missing_parts(offer: Offer) -> list[str]:
    """Names of the parts that the repository lacks."""
    part = _PART.fullmatch(offer.files[0].name)
    if part is None:
        return []
    there = {file.name for file in offer.files}
    count = part["count"]
    wanted = [f"{part['stem']}-{n:05}-of-{count}.gguf" for n in range(1, int(count) + 1)]
    return [name for name in wanted if name not in there]


def choose(offers: Sequence[Offer], wanted: str, repository: str) -> Offer:
    """The offer that `wanted` names: a quantisation or a file, of any case.

    Raises OptionError, with what there is, when it is none or several.
    """
    key = wanted.lower()
    found = [
        offer
        for offer in offers
        if key in (offer.name.lower(), (offer.quantisation or "").lower())
        or any(key in (f.name.lower(), f.name.lower().rpartition("/")[2]) for f in offer.files)
    ]
    if len(found) == 1:
        return found[0]
    names = ", ".join(offer.name for offer in (found or offers)) or "no model file"
    problem = "is several of" if found else "is not in"
    raise OptionError(f"{wanted!r} {problem} {repository}, which has {names}; name one of them")
