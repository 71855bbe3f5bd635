"""The command `jaxicm`: one file a command, each parses, calls and prints.

Commands import what they need when they run, so that `jaxicm --help` starts neither JAX nor Pillow.
"""
