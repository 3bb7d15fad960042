"""enclair.compiler.approx"""
