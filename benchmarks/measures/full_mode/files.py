"""The names of the cases, and of their files beside those of every compiled work."""

from full_models.titles import TITLES

from measures.compiled import CLIENT, FACTS, PROGRAM

INPUTS, WEIGHTS = "inputs.npz", "weights.npz"
"""Inputs with the float model's outputs and labels; weights by their names in the network."""

__all__ = ["CLIENT", "FACTS", "INPUTS", "PROGRAM", "TITLES", "WEIGHTS"]
