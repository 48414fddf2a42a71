"""What users do wrong, as a table: each case with its exit code and the line that it must get.

A file an area; ``check.py`` tries them all. Rows of the catalogue that have no case, and why:

* 41, plugins for another version: plugins state none; what they register is checked instead.
* 44 to 48, ranks without a number and peers that are missing, slow or different: the checks on
  distributed runs.
* 49, signals: the checks S1 and S2; here only readers of a pipe that leave.
* 54, numbers that aren't finite: the check N1.
* 57, a network file system that lags behind: needs one.
* 58, sweeps, and 59, reports: there are none yet; nor SLURM, nor exports.
* 43, a driver too old, no memory left on a GPU: needs a GPU.
"""

from tests.trust.bad_input.check import CHECKS

__all__ = ["CHECKS"]
