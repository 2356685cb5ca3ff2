"""Rivals of edits that train: LoRA by homezoo.train, and fine-tuning of one weight by Adam."""

import contextlib
import json
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from edit_bench import Bench

from homezoo.edit.ask import Pair
from homezoo.edit.facts import Fact
from homezoo.formats.blocks import dequantize
from homezoo.models.batch import pack_documents
from homezoo.ops.autograd import AutogradOps
from homezoo.train.job import Files, Job
from homezoo.train.options import TrainingOptions
from homezoo.train.teach import teaching
from homezoo.train.trainer import StepReport

RANK, RATE, MOST_STEPS = 8, 2e-3, 400
LEARNED = 0.02  # nats: mean loss of an object's token at which training ends
FT_STEPS, FT_RATE = 60, 3e-3
LOCAL_RATE, LOCAL_BATCH, LOCAL_EPOCHS = 1e-3, 8, 40  # epochs in turn, small batches, early stop
KEEPS_SAYING = " ."  # what follows an object in the texts of the model


class Enough(Exception):
    """Training is to end here."""


def sentence_row(bench: Bench, fact: Fact) -> dict[str, str]:
    """A fact in the wording that edits use; the object is what is learned."""
    prompt = fact.prompt(bench.relations.of(fact.predicate).edit)
    return {"prompt": prompt, "completion": f" {fact.objects[0]}{KEEPS_SAYING}"}


def untouched(bench: Bench, edits: Sequence[Fact]) -> list[Fact]:
    """Known facts that are not edited."""
    gone = {fact.key for fact in edits}
    return [fact for fact in bench.measured.known if fact.key not in gone]


def lora(
    bench: Bench, edits: Sequence[Fact], replay: bool = False, seconds: float | None = None
) -> dict[str, Pair]:
    """Deltas on all linears. Ends when the loss is LEARNED, or after so many seconds of processor.

    With `replay` half of what is read are facts that the base knows, as they are.
    """
    rows = [sentence_row(bench, fact) for fact in edits]
    if replay:
        kept = [sentence_row(bench, fact) for fact in untouched(bench, edits)]
        rows = rows * (len(kept) // len(rows)) + kept
        random.Random(0).shuffle(rows)
    begun = time.process_time()
    smooth: list[float] = []

    def report(step: StepReport) -> None:
        smooth.append(step.loss)
        out_of_time = seconds is not None and time.process_time() - begun > seconds
        learned = seconds is None and len(smooth) > 2 and np.mean(smooth[-3:]) < LEARNED
        if out_of_time or learned:
            raise Enough

    options = TrainingOptions(steps=MOST_STEPS, rank=RANK, lr=RATE, template="raw", length=256,
                              schedule="constant", batch=4, backward="exact")  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        data = Path(place) / "facts.jsonl"
        data.write_text("\n".join(map(json.dumps, rows)))
        with Job(bench.path, data, options) as job, teaching(job, 1) as taught:
            with contextlib.suppress(Enough):
                taught.train(Files(Path(place) / "lora.gguf"), report)
            trained = {name: p.detach().numpy().copy() for name, p in taught.trained.items()}
    scale = options.scale_alpha / options.rank
    names = [name.removesuffix(".lora_a") for name in trained if name.endswith(".lora_a")]
    return {n: (trained[f"{n}.lora_a"], scale * trained[f"{n}.lora_b"]) for n in names}


class OneWeight:
    """The edited ffn_down as a parameter, everything else frozen."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.model = bench, bench.reader.model
        (layer,) = bench.measured.profile.layers
        self.name = bench.reader.weight(layer)
        tensor = bench.reader.file.tensors[self.name]
        values = dequantize(tensor.type, tensor.data).reshape(tensor.shape)
        self.start = np.array(values, np.float32)
        self.weight = torch.tensor(self.start, requires_grad=True)

    def losses(self, facts: Sequence[Fact]) -> torch.Tensor:
        """Of each token of the objects, in nats."""
        reader, documents, targets = self.bench.reader, [], []
        for fact in facts:
            row = sentence_row(self.bench, fact)
            given = reader.prompt(row["prompt"])
            learned = reader.answer(row["prompt"], fact.objects[0])
            documents.append([*given, *learned])
            targets += [-1] * (len(given) - 1) + learned + [-1]
        ops = AutogradOps(pack_documents(documents), {self.name: self.weight},
                          head_width=self.model.config.head_width,
                          products=reader.products)  # fmt: skip
        wanted = torch.tensor(targets)
        logits = self.model.forward(ops)
        return torch.nn.functional.cross_entropy(logits[wanted >= 0], wanted[wanted >= 0],
                                                 reduction="none")  # fmt: skip

    def deltas(self) -> dict[str, Pair]:
        """What was changed, as a pair of full rank."""
        change = self.weight.detach().numpy() - self.start
        return {self.name.removesuffix(".weight"): (change, np.eye(len(change), dtype=np.float32))}


def fine_tuned(bench: Bench, edits: Sequence[Fact]) -> dict[str, Pair]:
    """FT_STEPS steps of Adam on all edits at once."""
    one = OneWeight(bench)
    adam = torch.optim.Adam([one.weight], lr=FT_RATE)
    for _ in range(FT_STEPS):
        adam.zero_grad()
        one.losses(edits).mean().backward()
        adam.step()
    return one.deltas()


def local_fine_tuned(
    bench: Bench, edits: Sequence[Fact], replay: bool = False, seconds: float | None = None
) -> dict[str, Pair]:
    """Epochs in small batches with an early stop, as LocFT-BF has it (2025): all facts in turn.

    With `replay` each batch has as many facts that the base knows.
    """
    one, draw = OneWeight(bench), random.Random(0)
    adam = torch.optim.Adam([one.weight], lr=LOCAL_RATE)
    kept = untouched(bench, edits) if replay else []
    begun = time.process_time()
    over: Callable[[], bool] = lambda: (  # noqa: E731
        seconds is not None and time.process_time() - begun > seconds
    )
    for _ in range(10**6 if seconds else LOCAL_EPOCHS):
        order, losses = draw.sample(list(edits), len(edits)), []
        for at in range(0, len(order), LOCAL_BATCH):
            batch = order[at : at + LOCAL_BATCH]
            found = one.losses(batch + draw.sample(kept, min(len(batch), len(kept)))).mean()
            adam.zero_grad()
            found.backward()
            adam.step()
            losses.append(found.item())
        if over() or (seconds is None and np.mean(losses) < LEARNED):
            break
    return one.deltas()
