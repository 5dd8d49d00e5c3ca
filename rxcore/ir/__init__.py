"""The Graph language: typed SSA equations between pure functions and loops.

Glossary: a `Graph` is a list of `Equation`s over typed `Value`s; a `Primitive` is the
record of one op; a `Type` is a dtype with a shape.
"""
