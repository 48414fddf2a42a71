"""Figures of runs, drawn by matplotlib, which is imported where something is drawn."""
