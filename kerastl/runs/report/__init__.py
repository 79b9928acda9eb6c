"""What a run did, as a page to look at and as a model card, in the run's folder."""

from kerastl.runs.report.writing import remove_report, write_report

__all__ = ["remove_report", "write_report"]
