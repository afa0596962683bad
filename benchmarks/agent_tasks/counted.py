"""Stands between a host and a server over stdio and notes each call: `counted LOG COMMAND …`."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

from .agent import tokens


class Counter:
    """Pairs calls with their answers, and appends a line of JSON for each to the log."""

    def __init__(self, log: Path) -> None:
        self._log, self._open = log, dict[Any, float]()

    def asked(self, line: bytes) -> None:
        said = parsed(line)
        if said.get("method") == "tools/call":
            asked = said.get("params") or {}
            arguments = json.dumps(asked.get("arguments") or {}, ensure_ascii=False, separators=(",", ":"))
            self._open[said.get("id")] = tokens(f"{asked.get('name')}{arguments}")

    def answered(self, line: bytes) -> None:
        said = parsed(line)
        written = self._open.pop(said.get("id"), None) if "method" not in said else None
        if written is not None:
            content = (said.get("result") or {}).get("content") or []
            read = sum(tokens(block.get("text") or "") for block in content)
            with self._log.open("a", encoding="utf-8") as log:
                log.write(json.dumps({"written": written, "read": read}) + "\n")


def parsed(line: bytes) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def pump(source: IO[bytes], sink: IO[bytes], note: Any) -> None:
    for line in source:
        note(line)
        sink.write(line)
        sink.flush()
    sink.close()


def main(log: str, command: list[str]) -> int:
    counter = Counter(Path(log))
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdin
    assert server.stdout
    threading.Thread(target=pump, args=(sys.stdin.buffer, server.stdin, counter.asked), daemon=True).start()
    pump(server.stdout, sys.stdout.buffer, counter.answered)
    return server.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
