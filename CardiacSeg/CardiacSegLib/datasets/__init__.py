"""Labeled cases on disk: one file a layout, and how patients are split."""
