"""The promises of `broker.ports.Store` as tests: subclass `StoreContract` and give it an empty `store` as a fixture.

Each part of the promises has a module of its own, `store_contract_…`.
"""

from __future__ import annotations

from broker.testing.store_contract_blobs import BlobsContract
from broker.testing.store_contract_foresight import ForesightContract
from broker.testing.store_contract_history import HistoryContract
from broker.testing.store_contract_jobs import ListContract, QueueContract, SubmissionContract
from broker.testing.store_contract_projects import ProjectsContract
from broker.testing.store_contract_spend import SpendContract
from broker.testing.store_contract_tokens import TokensContract


class StoreContract(
    BlobsContract,
    SubmissionContract,
    ListContract,
    QueueContract,
    HistoryContract,
    SpendContract,
    ForesightContract,
    TokensContract,
    ProjectsContract,
):
    """All that a store promises."""
