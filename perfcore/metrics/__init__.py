"""Counting: samples, histograms, figures. numpy is imported here first, with one thread.

numpy's BLAS would start a thread for each core on import. Workers are forked from a process of one thread, and
idle BLAS threads would take cores from the load. The environment is left as it was found.
"""

import os

_BLAS_THREADS = "OPENBLAS_NUM_THREADS"
_before = os.environ.get(_BLAS_THREADS)
os.environ[_BLAS_THREADS] = "1"
try:
    import numpy  # noqa: F401 - for its effect
finally:
    if _before is None:
        del os.environ[_BLAS_THREADS]
    else:
        os.environ[_BLAS_THREADS] = _before
