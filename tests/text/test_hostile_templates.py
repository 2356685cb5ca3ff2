"""A chat template comes with a stranger's file: whatever it tries ends in an error, soon."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from text.hostile_templates import DENSE, ESCAPES, SIZES, SOURCES, TIMES

from homezoo.errors import TemplateError
from homezoo.text.template import ChatTemplate

MESSAGES = [{"role": "user", "content": "hello"}]
SECONDS = 1.0  # of processor time: the machine may be busy with something else


def render(source: str) -> str:
    return ChatTemplate(source, "<s>", "</s>").render(MESSAGES)


@pytest.mark.parametrize("source", ESCAPES.values(), ids=ESCAPES)
def test_nothing_leaves_the_sandbox(source: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render(source)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", (SIZES | TIMES | SOURCES).values(), ids=SIZES | TIMES | SOURCES)
def test_hostile_template_ends_in_an_error_within_a_second(source: str) -> None:
    started = time.process_time()
    with pytest.raises(TemplateError) as caught:
        render(source)
    assert time.process_time() - started < SECONDS
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


@pytest.mark.parametrize("source", DENSE.values(), ids=DENSE)
def test_dense_template_is_read_or_refused_within_a_second(source: str) -> None:
    started = time.process_time()
    try:
        render(source)
    except TemplateError as error:
        assert "\n" not in str(error)
    assert time.process_time() - started < SECONDS


def test_the_time_limit_holds_in_any_thread() -> None:
    caught: list[BaseException] = []

    def work() -> None:
        try:
            render(TIMES["loops"])
        except TemplateError as error:
            caught.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert len(caught) == 2


def test_a_large_conversation_gets_the_time_and_room_it_needs() -> None:
    source = "{% for m in messages %}<|{{ m.role }}|>{{ m.content|trim }}\n{% endfor %}"
    messages = [{"role": "user", "content": f" number {i} " * 500} for i in range(2000)]
    text = ChatTemplate(source, "", "").render(messages)
    assert text.count("<|user|>") == 2000 and text.endswith("number 1999\n")


def test_hostile_templates_need_little_memory() -> None:
    resource = pytest.importorskip("resource", reason="peak memory is measured on Unix only")
    assert resource
    script = """
import resource, sys
from text.hostile_templates import SIZES, TIMES
from homezoo.errors import TemplateError
from homezoo.text.template import ChatTemplate
unit = 1 if sys.platform == "darwin" else 1024  # bytes or kilobytes
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
ChatTemplate("{{ 1 }}", "", "").render([])
before = peak()
for source in SIZES.values():
    try: ChatTemplate(source, "", "").render([{"role": "user", "content": "hello"}])
    except TemplateError: pass
print((peak() - before) / 1e6)
"""
    tests = Path(__file__).resolve().parent.parent
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tests, check=True
    )
    assert float(result.stdout) < 200  # megabytes
