"""Writes plugins to begin with: a component of any kind, a config that uses it, and its tests.

Each template is the plugin of a component called ``my_<kind>``, which works as it stands.
"""
