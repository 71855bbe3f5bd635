"""Measure codecs: quality metrics, BD-rate, conventional anchors, tables and sheets."""
