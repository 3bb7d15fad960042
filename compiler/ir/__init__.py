"""enclair.compiler.ir"""
