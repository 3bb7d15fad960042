"""The command line: ``enclair compile``, ``inspect``, ``verify``, ``run``, and the commands of client and server.

Exit codes: 0 all is well; 1 a check failed (``verify``, ``doctor``); 2 bad usage or input, with one message on stderr;
70 a fault of enclair's own, with the way to report it. Results go to stdout, progress and messages to stderr. With
``--json`` stdout holds one JSON object and nothing else, ``{"error": {...}}`` when something is wrong.
"""

from enclair.cli.main import app

__all__ = ["app"]
