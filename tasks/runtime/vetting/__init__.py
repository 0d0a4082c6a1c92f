"""What is checked of a file before ONNX Runtime sees it: nothing here runs a graph, follows a link or unpickles.

`vet_graph` reads a whole graph, so it is called where memory and time are limited (`deployments.serving.trial`).
"""

from tasks.runtime.vetting.files import listed, refuse_pickle, size_of_plain_file
from tasks.runtime.vetting.graph import vet_graph
from tasks.runtime.vetting.operators import allowed_operators
from tasks.runtime.vetting.paths import plain_path

__all__ = ["allowed_operators", "listed", "plain_path", "refuse_pickle", "size_of_plain_file", "vet_graph"]
