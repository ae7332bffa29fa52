"""The report: what a run of the rules over some logs found, as one page of HTML that needs nothing else."""
