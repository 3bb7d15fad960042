"""What can go wrong, told apart by whose fault it is."""

from __future__ import annotations


class EnclairError(Exception):
    """Root of every error enclair raises on purpose."""


class TypeRuleError(EnclairError):
    """An op was given arguments it has no meaning for."""


class ParseError(EnclairError):
    """Text that is not a graph as enclair prints it."""


class VerifyError(EnclairError):
    """A graph that breaks its own rules. After a pass, this is a bug in enclair."""


class InputError(EnclairError):
    """Values given by the user that do not fit the graph's inputs."""
