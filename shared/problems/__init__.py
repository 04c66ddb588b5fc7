"""Answers to requests that cannot be served, as RFC 9457 problem documents: what, where, expected, what to do.

`problem` says what a refusal is, `handlers` turns every fault of an app into one, `openapi` describes them; none knows a service.
"""

from shared.problems.bodies import each_key_once
from shared.problems.handlers import install
from shared.problems.openapi import problem_responses
from shared.problems.problem import MEDIA_TYPE, URN, Fault, Problem, found

__all__ = ["MEDIA_TYPE", "URN", "Fault", "Problem", "each_key_once", "found", "install", "problem_responses"]
