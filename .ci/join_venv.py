"""Lets the environment that runs this see all that another one has; its own packages come first."""

import sys
import sysconfig
from pathlib import Path

other = Path(sys.argv[1])
found = [str(path) for path in other.glob("lib/python*/site-packages")]
found += [str(path) for path in other.glob("Lib/site-packages")]  # Windows
assert found, f"{other} is no environment"
lines = [f"import site; site.addsitedir({path!r})" for path in found]
Path(sysconfig.get_path("purelib"), "zz_other.pth").write_text("\n".join(lines) + "\n", "utf-8")
