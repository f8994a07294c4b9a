"""The demo's patient: a head made of formulas, and studies of it as a scanner would send them."""

from node.cli.demo.phantom.anatomy import head_ct, head_mr
from node.cli.demo.phantom.studies import Study, ct_study, mr_study

__all__ = ["Study", "ct_study", "head_ct", "head_mr", "mr_study"]
