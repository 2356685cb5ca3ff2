"""Prints an answer while it is made; Ctrl-C stops it: python examples/stream.py [FILE.gguf]"""

import sys

from homezoo import STORIES, Model

path = sys.argv[1] if len(sys.argv) > 1 else STORIES
with Model.open(path) as model:
    stream = model.stream("Once upon a time", max_tokens=100, seed=7)
    try:
        for piece in stream:  # never part of a character
            print(piece, end="", flush=True)
    except KeyboardInterrupt:
        pass  # what there is can still be read
    print(f"\n[{len(stream.answer.tokens)} tokens, stopped by: {stream.answer.stop_reason}]")
