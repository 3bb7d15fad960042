"""enclair.runtime.backends"""
