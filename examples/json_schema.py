"""Gets an answer that always fits a JSON schema: python examples/json_schema.py [FILE.gguf]"""

import json
import sys

from homezoo import STORIES, Constraint, Model

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 1, "maximum": 12},
        "likes": {"enum": ["cats", "dogs", "birds"]},
    },
    "required": ["name", "age", "likes"],
    "additionalProperties": False,
}
path = sys.argv[1] if len(sys.argv) > 1 else STORIES
with Model.open(path) as model:
    fits = Constraint.json_schema(SCHEMA)
    answer = model.generate("A little girl: ", constraint=fits, seed=1, max_tokens=200)
    assert answer.stop_reason == "end"  # "length" would mean that it was cut before it was whole
    print(json.loads(answer.text))
    colour = Constraint.choices(["red", "blue", "green"])
    print("The ball was", model.generate("The ball was ", constraint=colour, seed=1).text)
