"""enclair.compiler.ir.ops"""
