"""Well-known licences by the identifiers that model hubs use: what each permits, and where it is.

A summary for orientation, not legal advice: the text behind `source` decides. docs/zoo.md says
which rows were read against their texts. Identifiers: the hub's, from
huggingface.co/docs/hub/repositories-licenses.
"""

from dataclasses import dataclass, fields
from enum import IntEnum

AND = " AND "  # of SPDX expressions


class Answer(IntEnum):
    """Whether a use is permitted; a chain permits what its strictest link does: the greatest."""

    YES = 0
    CONDITIONS = 1  # yes, if the obligations are kept
    UNKNOWN = 2
    NO = 3

    @property
    def word(self) -> str:
        """As it is shown and written to JSON."""
        return self.name.lower()


@dataclass(frozen=True)
class Permits:
    """The uses that are asked for."""

    private: Answer
    research: Answer
    commercial: Answer
    redistribution: Answer


@dataclass(frozen=True)
class Licence:
    """One well-known licence."""

    id: str
    name: str
    permits: Permits
    obligations: tuple[str, ...]
    source: str  # where its text is


_Y, _C, _N = Answer.YES, Answer.CONDITIONS, Answer.NO
UNKNOWN = Permits(Answer.UNKNOWN, Answer.UNKNOWN, Answer.UNKNOWN, Answer.UNKNOWN)
FREE = Permits(_Y, _Y, _Y, _Y)  # asks for nothing
NOTICE = Permits(_Y, _Y, _Y, _C)  # asks something of who passes it on
COMMUNITY = Permits(_Y, _Y, _C, _C)  # restricts uses, or large companies
NON_COMMERCIAL = Permits(_Y, _Y, _N, _C)
RESEARCH_ONLY = Permits(_C, _Y, _N, _C)  # at home, too, for research or evaluation only

_KEEP = "pass on the licence text and the copyright notice"
_CREDIT = "name the authors, link the licence, say what was changed"
_ALIKE = "pass on changed versions under the same licence only"
_NO_SALE = "no commercial use"
_RESEARCH = "for research or evaluation only"
_CHANGES = "say which files were changed"
_SOURCE = "offer the source with it"
_SPDX = "https://spdx.org/licenses/"
_CC = "https://creativecommons.org/licenses/"
_DATA = "name the source of the data, also with what is made of it"
_META = "https://www.llama.com/"
_USES = "the uses that its annex forbids stay forbidden, for whoever gets it too"
_MACHINE = "do not pass off its text as written by people"
_LLAMA = (
    "ask Meta for a licence above 700 million monthly users",
    "keep to Meta's acceptable use policy",
    "pass on a copy of the agreement and its notice",
)
_BUILT = 'show "Built with Llama" and begin the names of models made with it with "Llama"'
_BUILT_3 = (
    'show "Built with Meta Llama 3" and begin the names of models made with it with "Llama 3"'
)
_NOT_IN_EU = "its models that see images are not licensed to people and companies of the EU"
_OLD_LLAMA = "its output must not improve other language models"
_QWEN = "ask Alibaba Cloud for a licence above 100 million monthly users"
_BUILT_QWEN = 'show "Built with Qwen" or "Improved using Qwen" on models trained with it'


def _spdx(id: str, name: str, spdx: str, *obligations: str) -> Licence:
    permits = NOTICE if obligations else FREE
    return Licence(id, name, permits, obligations, f"{_SPDX}{spdx}.html")


def _creative(kind: str, version: str, permits: Permits, *obligations: str) -> Licence:
    name = f"Creative Commons {kind.upper()} {version}"
    return Licence(f"cc-{kind}-{version}", name, permits, obligations, f"{_CC}{kind}/{version}/")


def _unchanged(version: str) -> str:
    """Of a licence without derivatives: 4.0 alone lets one make them, for oneself."""
    return f"do not {'pass on' if version == '4.0' else 'make'} changed versions"


def _rail(id: str, name: str, source: str) -> Licence:
    return Licence(id, name, COMMUNITY, (_USES, _MACHINE, _KEEP, _CHANGES), source)


def _llama(id: str, name: str, page: str, *more: str) -> Licence:
    return Licence(id, name, COMMUNITY, (*_LLAMA, *more), _META + page)


_VERSIONS = ("2.0", "2.5", "3.0", "4.0")

_ALL: tuple[Licence, ...] = (
    _spdx("apache-2.0", "Apache License 2.0", "Apache-2.0", _KEEP, _CHANGES),
    _spdx("mit", "MIT License", "MIT", _KEEP),
    _spdx("bsd-2-clause", "BSD 2-Clause", "BSD-2-Clause", _KEEP),
    _spdx("bsd-3-clause", "BSD 3-Clause", "BSD-3-Clause", _KEEP, "do not advertise with its names"),
    _spdx("isc", "ISC License", "ISC", _KEEP),
    _spdx("afl-3.0", "Academic Free License 3.0", "AFL-3.0", _KEEP, _CHANGES),
    _spdx("bsl-1.0", "Boost Software License 1.0", "BSL-1.0", _KEEP),
    _spdx("unlicense", "The Unlicense", "Unlicense"),
    _spdx("wtfpl", "WTFPL", "WTFPL"),
    _spdx("pddl", "Public Domain Dedication (data)", "PDDL-1.0"),
    _spdx("gpl-2.0", "GNU GPL 2.0", "GPL-2.0", _ALIKE, _SOURCE),
    _spdx("gpl-3.0", "GNU GPL 3.0", "GPL-3.0", _ALIKE, _SOURCE),
    _spdx("lgpl-2.1", "GNU LGPL 2.1", "LGPL-2.1", _ALIKE, _SOURCE),
    _spdx("lgpl-3.0", "GNU LGPL 3.0", "LGPL-3.0", _ALIKE, _SOURCE),
    _spdx(
        "agpl-3.0", "GNU AGPL 3.0", "AGPL-3.0", _ALIKE, "offer the source to users of a server too"
    ),
    _spdx(
        "mpl-2.0", "Mozilla Public License 2.0", "MPL-2.0", "changed files stay under it",
        _SOURCE,
    ),
    _spdx("odc-by", "Open Data Commons Attribution", "ODC-By-1.0", _KEEP, _DATA),
    _spdx("odbl", "Open Database License", "ODbL-1.0", _ALIKE, _KEEP, _DATA),
    _spdx("cdla-permissive-2.0", "CDLA Permissive 2.0", "CDLA-Permissive-2.0", _KEEP),
    _spdx("cdla-sharing-1.0", "CDLA Sharing 1.0", "CDLA-Sharing-1.0", _KEEP, _ALIKE),
    Licence(
        "cc0-1.0", "Creative Commons Zero 1.0", FREE, (),
        "https://creativecommons.org/publicdomain/zero/1.0/",
    ),
    *(_creative("by", v, NOTICE, _CREDIT) for v in _VERSIONS),
    *(_creative("by-sa", v, NOTICE, _CREDIT, _ALIKE) for v in _VERSIONS),
    *(_creative("by-nd", v, NOTICE, _CREDIT, _unchanged(v)) for v in _VERSIONS),
    *(_creative("by-nc", v, NON_COMMERCIAL, _NO_SALE, _CREDIT) for v in _VERSIONS),
    *(_creative("by-nc-sa", v, NON_COMMERCIAL, _NO_SALE, _CREDIT, _ALIKE) for v in _VERSIONS),
    *(
        _creative("by-nc-nd", v, NON_COMMERCIAL, _NO_SALE, _CREDIT, _unchanged(v))
        for v in _VERSIONS
    ),
    Licence(
        "llama1", "LLaMA 1 non-commercial licence", RESEARCH_ONLY,
        ("for research without commercial aim only, passing on included; what it writes, too",
         "each user needs a licence of Meta's own", _KEEP,
         "no military use, surveillance or biometrics"),
        "https://github.com/meta-llama/llama/blob/llama_v1/MODEL_CARD.md",
    ),
    _llama("llama2", "Llama 2 Community License", "llama2/license/", _OLD_LLAMA),
    _llama("llama3", "Llama 3 Community License", "llama3/license/", _BUILT_3, _OLD_LLAMA),
    _llama("llama3.1", "Llama 3.1 Community License", "llama3_1/license/", _BUILT),
    _llama(
        "llama3.2", "Llama 3.2 Community License", "llama3_2/license/", _BUILT,
        _NOT_IN_EU,
    ),
    _llama("llama3.3", "Llama 3.3 Community License", "llama3_3/license/", _BUILT),
    _llama(
        "llama4", "Llama 4 Community License", "llama4/license/", _BUILT,
        _NOT_IN_EU,
    ),
    Licence(
        "gemma", "Gemma Terms of Use", COMMUNITY,
        ("keep to Google's prohibited use policy, and bind those to it who get the model",
         "pass on the terms and their notice", _CHANGES),
        "https://ai.google.dev/gemma/terms",
    ),
    Licence(
        "qwen", "Qwen License", COMMUNITY,
        (_QWEN, _KEEP, _CHANGES, _BUILT_QWEN),
        "https://huggingface.co/Qwen/Qwen2.5-72B-Instruct/blob/main/LICENSE",
    ),
    Licence(
        "tongyi-qianwen", "Tongyi Qianwen License", COMMUNITY,
        (_QWEN, _KEEP, _CHANGES, _OLD_LLAMA),
        "https://huggingface.co/Qwen/Qwen-7B/blob/main/LICENSE",
    ),
    Licence(
        "qwen-research", "Qwen Research License", RESEARCH_ONLY,
        (_RESEARCH, _NO_SALE, _KEEP, _CHANGES, _BUILT_QWEN),
        "https://huggingface.co/Qwen/Qwen2.5-3B-Instruct/blob/main/LICENSE",
    ),
    Licence(
        "mrl", "Mistral AI Research License", RESEARCH_ONLY,
        ("for research, your own too, without commercial aim only; what it writes, too", _NO_SALE,
         _KEEP),
        "https://mistral.ai/licenses/MRL-0.1.md",
    ),
    Licence(
        "mnpl", "Mistral AI Non-Production License", NON_COMMERCIAL,
        ("for testing, research and personal use only, not in production", _NO_SALE, _KEEP),
        "https://mistral.ai/licenses/MNPL-0.1.md",
    ),
    _rail(
        "bigscience-bloom-rail-1.0", "BigScience BLOOM RAIL 1.0",
        "https://huggingface.co/spaces/bigscience/license",
    ),
    _rail(
        "bigscience-openrail-m", "BigScience OpenRAIL-M",
        "https://www.licenses.ai/blog/2022/8/26/bigscience-open-rail-m-license",
    ),
    _rail(
        "bigcode-openrail-m", "BigCode OpenRAIL-M 1",
        "https://huggingface.co/spaces/bigcode/bigcode-model-license-agreement",
    ),
    _rail(
        "creativeml-openrail-m", "CreativeML OpenRAIL-M",
        "https://huggingface.co/spaces/CompVis/stable-diffusion-license",
    ),
    _rail("openrail", "OpenRAIL family", "https://www.licenses.ai/"),
)  # fmt: skip

LICENCES: dict[str, Licence] = {licence.id: licence for licence in _ALL}

# Other spellings found in files and on model pages.
_ALIASES = {
    "apache": "apache-2.0",
    "apache 2.0": "apache-2.0",
    "apache license 2.0": "apache-2.0",
    "apache-2": "apache-2.0",
    "mit license": "mit",
    "the mit license": "mit",
    "gplv3": "gpl-3.0",
    "agplv3": "agpl-3.0",
    "cc0": "cc0-1.0",
    "llama-2": "llama2",
    "llama 2 community license": "llama2",
    "llama-3": "llama3",
    "llama-3.1": "llama3.1",
    "llama-3.2": "llama3.2",
    "llama-3.3": "llama3.3",
    "llama-4": "llama4",
    "bigscience-rail-1.0": "bigscience-bloom-rail-1.0",
    "gemma-terms-of-use": "gemma",
}


def find_licence(stated: str) -> Licence | None:
    """The well-known licence that a file or page names, None if it is none of them.

    Several joined by AND, as SPDX writes what holds together, permit what the strictest permits.
    """
    key = " ".join(stated.lower().split())
    if " and " in key:
        parts = [find_licence(part) for part in key.split(" and ")]
        return _joined([part for part in parts if part]) if all(parts) else None
    key = _ALIASES.get(key, key)
    for suffix in ("-only", "-or-later"):  # SPDX's words on the GNU licences
        key = key.removesuffix(suffix)
    return LICENCES.get(key) or LICENCES.get(key.replace(" ", "-"))


def _joined(parts: list[Licence]) -> Licence:
    """Licences that hold together, each once."""
    parts = list({part.id: part for part in parts}.values())
    if len(parts) == 1:
        return parts[0]
    uses = [field.name for field in fields(Permits)]
    return Licence(
        AND.join(part.id for part in parts),
        " and ".join(part.name for part in parts),
        Permits(*(max(getattr(part.permits, use) for part in parts) for use in uses)),
        tuple(dict.fromkeys(text for part in parts for text in part.obligations)),
        " ".join(dict.fromkeys(part.source for part in parts)),
    )
