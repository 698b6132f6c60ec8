"""The job `select`: draw the probe, apply selectors in turn, and give every selected frame its role."""

from bloomery.jobs.select.job import Summary, run
from bloomery.jobs.select.model import CONTROL_FILE, FATES_FILE, SELECTED_FILE, Model

__all__ = ["CONTROL_FILE", "FATES_FILE", "SELECTED_FILE", "Model", "Summary", "run"]
