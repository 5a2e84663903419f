"""Records to figures and one self-contained HTML page. Reads records, never models."""

from secateur.report.page import write_report
from secateur.report.reading import Record, Run, read_run

__all__ = ["Record", "Run", "read_run", "write_report"]
