"""Talks over several turns; only what is new is computed: python examples/chat.py [FILE.gguf]"""

import sys

from homezoo import STORIES, Chat, Model
from homezoo.text.template import ChatTemplate

# The bundled model was never taught to chat, so it is given a template; most bring their own.
TEMPLATE = "{% for message in messages %}{{ message.content }}\n{% endfor %}"

path = sys.argv[1] if len(sys.argv) > 1 else STORIES
with Model.open(path) as model:
    if "tokenizer.chat_template" not in model.metadata:
        model.template = ChatTemplate(TEMPLATE, bos_token="<s>", eos_token="</s>")
    chat = Chat(model, system="A story.", seed=3, max_tokens=30, stop=["\n"])
    for said in ("Once there was a cat.", "The cat saw a dog."):
        answer = chat.ask(said)
        print(f"> {said}\n{answer.text}")
        print(f"[{answer.cached_tokens} of {answer.prompt_tokens} tokens were computed before]")
    print("again:", chat.retry().answer.text)
    chat.undo()
    print(f"{len(chat.messages)} messages are left")
