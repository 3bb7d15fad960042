"""enclair.compiler.packing"""
