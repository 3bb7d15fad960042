"""What a server may hide of the order and the size of channels, where the client's stages commute with it.

Obfuscation, not protection: see docs/security.md for what it does not stop.
"""

from enclair.compiler.obfuscation.analysis import Obfuscation, SplitPoint, analyse

__all__ = ["Obfuscation", "SplitPoint", "analyse"]
