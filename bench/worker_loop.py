"""What the worker processes of both sides share: one JSON request a line in, one answer a line out.

Only the standard library, as the peer's environment has nothing of ours.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

Handler = Callable[..., Any]


def serve(handlers: Mapping[str, Handler]) -> None:
    """Answers {"do": name, …arguments} with {"answer": …} or {"error": …} until the input ends.

    Between requests it waits in a read and uses no processor time. What libraries print goes to
    standard error.
    """
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = {"answer": handlers[request.pop("do")](**request)}
        except Exception as error:
            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=out, flush=True)


def private_bytes() -> int:
    """Memory of this process that no file backs (Linux: RssAnon of /proc/self/status)."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    raise OSError("this system does not tell a process's private memory in /proc/self/status")
