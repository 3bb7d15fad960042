"""enclair.compiler.passes"""
