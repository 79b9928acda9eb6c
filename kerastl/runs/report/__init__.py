"""The report and the model card of a run, in its folder."""

from kerastl.runs.report.writing import remove_report, write_report

__all__ = ["remove_report", "write_report"]
