"""From a job to what was learned: LoRA or every weight, planned, trained, and written."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from homezoo.errors import OptionError
from homezoo.formats.adapter_file import write_adapter
from homezoo.formats.adapter_origin import (
    BaseIdentity,
    Licences,
    identify_base,
    origin_keys,
    own_name,
)
from homezoo.ops.autograd_matmul import FrozenProducts
from homezoo.ops.cores import available_cores
from homezoo.ops.memory import freed_memory_kept
from homezoo.train.energy import EnergyMeter
from homezoo.train.job import Files, Job, interruptible
from homezoo.train.journal import Journal
from homezoo.train.lora import attach_deltas, detach_deltas, first_layer, make_adapter
from homezoo.train.memory import GB, MemoryPlan, free_memory, plan_memory
from homezoo.train.optimizers import make_optimizers
from homezoo.train.passes import Passes
from homezoo.train.price import PRICE_PER_KWH, RENTED, WATTS_PER_THREAD, electricity, rent
from homezoo.train.speed import pass_seconds
from homezoo.train.states import StateCache
from homezoo.train.trainer import STOPPED, Progress, StepReport, Trainer
from homezoo.train.whole import forget_weights, make_parameters, write_model


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    out: str | None  # the file that was written; None when training was stopped before
    steps: int
    loss: float
    validation: float | None
    best_validation: float | None
    tokens: int
    seconds: float
    tokens_per_second: float
    kilowatt_hours: float
    energy_measured: bool  # by the processor itself, not from watts for each thread
    ended: str


class Teaching:
    """A job with parameters that learn; within `teaching(…)`."""

    def __init__(self, job: Job, threads: int | None) -> None:
        options, model = job.options, job.model
        self.job = job
        self.threads = available_cores() if threads is None else threads
        self.products = FrozenProducts(self.threads, "int8", options.backward)  # type: ignore[arg-type]
        self.parameters: dict[str, Any] = {}
        if options.full:
            self.parameters = make_parameters(job.file.tensors)
            if options.scratch:
                forget_weights(self.parameters, model.config.layers, options.seed)
            self.trained, self.first = self.parameters, 0
        else:
            self.trained = attach_deltas(model, options)
            self.first = first_layer(self.trained)
        count = sum(parameter.numel() for parameter in self.trained.values())
        limit = free_memory() if options.memory is None else options.memory * GB
        layers = model.config.layers - self.first
        self.memory: MemoryPlan = plan_memory(
            model.config, job.file_bytes, count, options.length, layers, limit
        )
        self.trained_count = count

    def estimate(self, watts: float | None = None, price: float = PRICE_PER_KWH) -> dict[str, Any]:
        """Tokens, time, electricity and rent of all steps, measured on one layer of the model."""
        job = self.job
        tokens = max(2, round(job.total_tokens / max(self.passes_in_all, 1)))
        seconds = pass_seconds(
            job.model,
            self.products,
            parameters=self.parameters,
            first=self.first,
            kept=self.memory.kept_layers,
            tokens=tokens,
            labels=max(1, round(tokens * job.labels_per_token)),
            document=max(2, min(tokens, round(job.encoded.tokens / len(job.encoded.documents)))),
        )
        speed = tokens / seconds
        cost = electricity(job.total_tokens / speed, watts or self.watts, price)
        size = sum(tensor.rows * tensor.width for tensor in job.file.tensors.values())
        rented = {
            gpu.name: dict(
                zip(
                    ("hours", "dollars_least", "dollars_most"),
                    rent(gpu, job.total_tokens, size),
                    strict=True,
                )
            )
            for gpu in RENTED
        }
        return {
            "steps": job.steps,
            "documents": len(job.documents),
            "tokens": job.total_tokens,
            "labels": round(job.total_tokens * job.labels_per_token),
            "trained_parameters": self.trained_count,
            "memory": asdict(self.memory) | {"total": self.memory.total},
            "tokens_per_second": speed,
            "seconds": cost.seconds,
            "watts": cost.watts,
            "kilowatt_hours": cost.kilowatt_hours,
            "electricity_dollars": cost.dollars,
            "rented": rented,
        }

    @property
    def passes_in_all(self) -> int:
        """Passes of all steps."""
        return self.job.steps * self.job.options.batch

    @property
    def watts(self) -> float:
        """Taken where the machine tells nothing."""
        return WATTS_PER_THREAD * self.threads

    def train(
        self,
        files: Files,
        report: Callable[[StepReport], None],
        resume: bool = False,
        licences: Licences | None = None,
    ) -> Outcome:
        """Trains, and writes the adapter or the model; a stopped run leaves its checkpoint.

        Raises OptionError when a checkpoint is there and `resume` does not say what to do with it,
        TrainingError when training comes apart.
        """
        job = self.job
        if files.checkpoint.exists() and not resume:
            raise OptionError(
                f"{files.checkpoint} is there from a run that was stopped; go on with --resume, "
                "or delete it"
            )
        base = identify_base(job.file.tensors)
        meter = EnergyMeter()
        with interruptible() as pause, self._states(files) as states:
            trainer = self._trainer(files, base, states, pause)
            if resume:
                trainer.resume()
            journal = Journal(files.log, trainer.progress.step if resume else None)

            def note(step: StepReport) -> None:
                journal.add({key: value for key, value in vars(step).items() if value is not None})
                meter.joules()
                report(step)

            progress = trainer.train(note)
        finished = progress.ended != STOPPED
        if finished:
            origin = origin_keys(
                base=base,
                base_name=own_name(job.file.metadata),
                data_name=job.data.name,
                licences=licences or Licences(),
                template=job.template,
                settings=asdict(job.options) | {"steps": progress.step},
            )
            self._write(files, origin)
            files.checkpoint.unlink(missing_ok=True)
        return self._outcome(progress, meter, str(files.out) if finished else None)

    def _trainer(
        self,
        files: Files,
        base: BaseIdentity,
        states: StateCache | None,
        pause: Callable[[], None],
    ) -> Trainer:
        job = self.job
        kept = self.memory.kept_layers
        return Trainer(
            Passes(job.model, self.products, self.parameters, self.first, kept, states, pause),
            self.trained,
            make_optimizers(self.trained, job.options),
            job.options,
            job.steps,
            job.batches,
            Passes(job.model, self.products, self.parameters, pause=pause),
            job.validation(),
            files.checkpoint,
            job.fingerprint(base.weights),
        )

    def _write(self, files: Files, origin: dict[str, Any]) -> None:
        job = self.job
        if job.options.full:
            write_model(files.out, job.file.metadata, job.file.tensors, self.parameters, origin)
            return
        architecture = job.model.config.architecture
        write_adapter(files.out, make_adapter(architecture, job.options, self.trained, origin))

    def _outcome(self, progress: Progress, meter: EnergyMeter, out: str | None) -> Outcome:
        joules = meter.joules()
        energy = progress.seconds * self.watts if joules is None else joules
        return Outcome(
            out=out,
            steps=progress.step,
            loss=progress.loss,
            validation=progress.validation,
            best_validation=progress.best if progress.validation is not None else None,
            tokens=progress.tokens,
            seconds=progress.seconds,
            tokens_per_second=progress.tokens / max(progress.seconds, 1e-9),
            kilowatt_hours=energy / 3.6e6,
            energy_measured=joules is not None,
            ended=progress.ended,
        )

    @contextmanager
    def _states(self, files: Files) -> Iterator[StateCache | None]:
        """States below the first layer that learns, when some are read more than once."""
        job = self.job
        again = job.total_tokens > sum(map(len, job.documents))
        if self.first == 0 or not again:
            yield None
            return
        lengths = [len(document) for document in job.documents]
        cache = StateCache(files.states, lengths, job.model.config.width)
        try:
            yield cache
        finally:
            cache.close()


@contextmanager
def teaching(job: Job, threads: int | None = None) -> Iterator[Teaching]:
    """The job with its deltas attached; afterwards the model is as before.

    Until then PyTorch has as many threads as `threads`, and freed memory stays with the process.
    """
    import torch

    before = torch.get_num_threads()
    taught = Teaching(job, threads)
    torch.set_num_threads(taught.threads)
    try:
        with freed_memory_kept():
            yield taught
    finally:
        torch.set_num_threads(before)
        detach_deltas(job.model)
