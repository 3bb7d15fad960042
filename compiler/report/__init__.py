"""enclair.compiler.report"""
