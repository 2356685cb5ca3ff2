"""Turns text into token ids and back: python examples/tokens.py [FILE.gguf]"""

import sys

from homezoo import STORIES, GGUFFile, Tokenizer

path = sys.argv[1] if len(sys.argv) > 1 else STORIES
with GGUFFile.open(path) as file:  # the vocabulary alone: no weights are read
    tokenizer = Tokenizer.from_metadata(file.metadata)
text = "Lily said: “Ünïcödé?” 🙂"
ids = tokenizer.encode(text)
print(ids)
print([tokenizer.token_bytes(id) for id in ids])
assert tokenizer.decode(ids) == text

# Names of control tokens are plain text, unless they are asked for.
print(tokenizer.encode("</s>"), tokenizer.encode("</s>", special=True))

# A stream gives whole characters only, however the tokens cut them.
stream = tokenizer.stream()
print([stream.push(id) for id in ids] + [stream.finish()])
