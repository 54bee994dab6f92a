"""Subjects that don't come back."""

import os
import time

from conformance.subjects import Subject


class Rude(Subject):
    """Hangs at one step, dies at two, and is right for all the others."""

    def run(self, case, data):
        if case.steps == 1:
            time.sleep(3600)
        if case.steps == 2:
            os._exit(3)
        from conformance.subjects.minigrad import Fused

        return Fused().run(case, data)


class Broken:
    """Can't be made."""

    def __init__(self):
        raise OSError("there is no libcell.so")


NotASubject = dict
