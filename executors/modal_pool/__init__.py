"""Sandboxes and functions at Modal.

The broker's process holds Modal's client. What runs at Modal outlives it: sandboxes are named by attempt id, and what
was launched and measured is journalled.
"""

from executors.modal_pool.function_plugin import ModalFunctions
from executors.modal_pool.plugin import ModalPool

__all__ = ["ModalFunctions", "ModalPool"]
