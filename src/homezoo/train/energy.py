"""Energy that the processor says it has used (RAPL on Linux), where it may be read."""

from pathlib import Path

ZONES = Path("/sys/class/powercap")


class EnergyMeter:
    """Joules since it was made. Counters that run over are followed if read once in a while."""

    def __init__(self, zones: Path = ZONES) -> None:
        self._zones = []  # (counter, range) of each whole package
        self._joules = 0.0
        for zone in sorted(zones.glob("intel-rapl:*")):
            if zone.name.count(":") == 1:  # parts of a package have one more
                try:
                    limit = int((zone / "max_energy_range_uj").read_text())
                    int((zone / "energy_uj").read_text())
                except (OSError, ValueError):  # newer systems let only the administrator read
                    continue
                self._zones.append((zone / "energy_uj", limit))
        self._last = self._read()

    @property
    def works(self) -> bool:
        """Whether this machine tells."""
        return bool(self._zones)

    def joules(self) -> float | None:
        """Since the meter was made; None where the machine does not tell."""
        if not self.works:
            return None
        now = self._read()
        for (_, limit), before, after in zip(self._zones, self._last, now, strict=True):
            self._joules += ((after - before) % (limit + 1)) / 1e6
        self._last = now
        return self._joules

    def _read(self) -> list[int]:
        return [int(counter.read_text()) for counter, _ in self._zones]
