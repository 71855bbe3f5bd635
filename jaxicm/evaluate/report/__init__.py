"""Reports: run files in, one self-contained HTML page and plots out."""

from jaxicm.evaluate.report.build import Report, build_report

__all__ = ["Report", "build_report"]
