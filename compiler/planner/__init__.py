"""enclair.compiler.planner"""
