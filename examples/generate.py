"""Continues texts, one or several side by side: python examples/generate.py [FILE.gguf]"""

import sys

from homezoo import STORIES, GenerationOptions, Model

path = sys.argv[1] if len(sys.argv) > 1 else STORIES
options = GenerationOptions(seed=1, temperature=0.7, max_tokens=60, stop=["\n"])

with Model.open(path) as model:
    answer = model.generate("Once upon a time", options)
    print(answer.text)
    print(f"[{len(answer.tokens)} tokens, stopped by: {answer.stop_reason}]")
    print(f"[{answer.timings.decode_tokens_per_second:.0f} tokens per second]")

    # The same seed gives the same answer, and so it does beside others.
    prompts = ["Lily", "Once upon a time", "The dog"]
    together = model.generate_many(prompts, options)
    assert together[1].text == answer.text

    # Any option can also be given for one call; temperature 0 takes the likeliest token.
    print(model.generate("The dog", options, temperature=0, max_tokens=10).text)
