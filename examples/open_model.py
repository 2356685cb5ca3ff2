"""Opens a GGUF file and tells what it is: python examples/open_model.py [FILE.gguf]"""

import sys

from homezoo import STORIES, Model

path = sys.argv[1] if len(sys.argv) > 1 else STORIES
with Model.open(path, context=256) as model:
    print(f"{model.path.name}: {model.metadata.get('general.name')}")
    print(f"architecture {model.config.architecture}, {model.config.layers} layers")
    print(f"width {model.config.width}, {model.config.vocab_size} tokens in the vocabulary")
    print(f"trained on {model.config.context_length} positions, opened with {model.context}")
