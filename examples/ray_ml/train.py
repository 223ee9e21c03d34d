"""Ray Train: fits a line on two workers, and goes on from its last checkpoint when a node is lost.

Checkpoints go to $CHECKPOINTS, which all nodes must see: shared storage, or s3://…
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import ray
import ray.train
import torch
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer, prepare_model

WEIGHTS = torch.arange(8.0)


def train(config: dict) -> None:
    """What each worker does."""
    torch.manual_seed(ray.train.get_context().get_world_rank())
    inputs = torch.randn(256, 8)
    wanted = inputs @ WEIGHTS
    model = prepare_model(torch.nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    first = 0
    if checkpoint := ray.train.get_checkpoint():
        with checkpoint.as_directory() as folder:
            state = torch.load(Path(folder) / "state.pt")
        model.load_state_dict(state["model"])
        first = state["epoch"] + 1
    for epoch in range(first, config["epochs"]):
        loss = torch.nn.functional.mse_loss(model(inputs).squeeze(1), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        report(epoch, first, loss.item(), model)
        time.sleep(config["pause_s"])


def report(epoch: int, first: int, loss: float, model: torch.nn.Module) -> None:
    """Says how far it is; the first worker also keeps a checkpoint."""
    told = {"epoch": epoch, "resumed_at": first, "loss": loss}
    if ray.train.get_context().get_world_rank():
        ray.train.report(told)
        return
    print(json.dumps(told), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        torch.save({"model": model.state_dict(), "epoch": epoch}, Path(folder) / "state.pt")
        ray.train.report(told, checkpoint=Checkpoint.from_directory(folder))


ray.init()
epochs, pause_s = int(sys.argv[1]), float(sys.argv[2])
trainer = TorchTrainer(
    train,
    train_loop_config={"epochs": epochs, "pause_s": pause_s},
    scaling_config=ScalingConfig(num_workers=2, resources_per_worker={"CPU": 1}, placement_strategy="SPREAD"),
    run_config=RunConfig(
        name=os.environ.get("BROKER_JOB_ID", "train"),  # the same for each attempt: a retried job goes on, too
        storage_path=os.environ["CHECKPOINTS"],
        failure_config=FailureConfig(max_failures=3),
        checkpoint_config=CheckpointConfig(num_to_keep=2),
    ),
)
metrics = trainer.fit().metrics
print("result:", json.dumps(metrics), flush=True)
