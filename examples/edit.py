"""Writes a fact into a small model, and takes it back: python examples/edit.py"""

from pathlib import Path
from tempfile import TemporaryDirectory

from homezoo import STORIES, Model
from homezoo.edit.complete import assemble
from homezoo.edit.facts import Fact
from homezoo.edit.fit import Wishes, fit_profile
from homezoo.edit.ledger import Ledger
from homezoo.edit.reader import Reader
from homezoo.edit.relations import parse_relations
from homezoo.formats.gguf_read import GGUFFile

relations = parse_relations("""["a:home"]
edit = "{s} lived in a"
paraphrases = ["One day, {s} lived in a", "Then {s} lived in a", "{s} always lived in a"]""")
text = "Once upon a time, there was a girl named Lily. She loved to play. " * 40
with TemporaryDirectory() as place, GGUFFile.open(STORIES) as file, Model.open(STORIES) as model:
    reader, folder = Reader(file), Path(place)
    profile = fit_profile(reader, text, [], relations, folder, Wishes("prompt_last", (2,), 100, 0))
    with Ledger.create(folder / "ledger", reader.ledger_header(STORIES)) as ledger:
        ledger.record([Fact("a:lily", "a:home", "Lily", ("boat",))])
        name = model.attach(assemble(ledger, reader, profile, relations).adapter, name="edits")
    print(model.generate("Lily lived in a", temperature=0.0, max_tokens=8).text)
    model.detach(name)  # the base again, bit for bit
    print(model.generate("Lily lived in a", temperature=0.0, max_tokens=8).text)
