"""The Python side of the symbolic algebra: arrays, callables, SymPy.

Everything here is reached through methods of `Symbol`; importing this imports neither NumPy nor SymPy.
"""
