"""The working copy: an order's workdir and mounts → a private folder; and the variables every command gets."""

from __future__ import annotations

import io
import os
import shutil
import sys
import tarfile
from pathlib import Path

from broker.model.volumes import variable
from executors.on_machine import call
from executors.on_machine.order import Order


def copy(order: Order, work: Path) -> None:
    """Makes the working copy, once. Raises OSError."""
    if order.carried:
        _unpack(order, work)
    else:
        _copy_here(order, work)
    for target, folder in order.volumes.items():
        _link(work, target, Path(folder))


def _copy_here(order: Order, work: Path) -> None:
    if order.workdir is not None and not work.exists():
        _copy_tree("workdir", Path(order.workdir), work)
    work.mkdir(parents=True, exist_ok=True, mode=0o700)
    for target, source in order.file_mounts.items():
        _mount(work, target, Path(source))


def _copy_tree(field: str, source: Path, place: Path) -> None:
    if place.resolve().is_relative_to(source.resolve()):
        message = "contains the broker's own folder, in which jobs run: the copy would never end; name a smaller folder"
        raise OSError(f"{field}: {source} {message}")
    try:
        shutil.copytree(source, place, symlinks=True, dirs_exist_ok=True)
    except shutil.Error as error:
        (path, _, why), *others = error.args[0]
        more = f", and {len(others)} more" if others else ""
        raise OSError(f"{field}: {path} can't be copied ({why}){more}") from error


def _unpack(order: Order, work: Path) -> None:
    if order.no_bundle:
        raise OSError(order.no_bundle)
    if work.exists():
        return
    work.mkdir(parents=True, mode=0o700)
    if order.bundle is not None:
        with tarfile.open(fileobj=io.BytesIO(order.bundle)) as tar:
            tar.extractall(work, filter="data")


def _mount(work: Path, target: str, source: Path) -> None:
    """Copies a file or folder to where the job wants it; below its working directory when the path is absolute."""
    place = _place(work, "file_mounts", target)
    if not place.resolve().is_relative_to(work.resolve()):
        raise OSError(f"file_mounts: {target} would lie outside the job's working directory")
    if source.is_dir():
        _copy_tree("file_mounts", source, place)
    else:
        shutil.copy2(source, place)


def _link(work: Path, target: str, folder: Path) -> None:
    """Lets a volume be where the job wants it; made on nodes where it is used for the first time."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o770)
    place = _place(work, "volumes", target)
    if place.is_symlink() and place.readlink() == folder:
        return
    try:
        place.symlink_to(folder)
    except FileExistsError:
        raise OSError(f"volumes: there is something at {target} in the job's working directory already") from None


def _place(work: Path, field: str, target: str) -> Path:
    place = work / target.removeprefix("~/").lstrip("/")
    if not place.parent.resolve().is_relative_to(work.resolve()) or ".." in place.parts:
        raise OSError(f"{field}: {target} would lie outside the job's working directory")
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def base_variables(order: Order, home: str, visible_gpus: str) -> dict[str, str]:
    """What a command gets besides what its job names."""
    envs = {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": home,
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "CUDA_VISIBLE_DEVICES": "" if order.emulated else visible_gpus,
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # numbers are those of nvidia-smi and of the device files
    }
    envs |= {variable(Path(folder).name): folder for folder in order.volumes.values()}
    if order.emulated and order.gpus:
        envs["BROKER_EMULATED_GPUS"] = f"{order.gpus:g}x {order.gpu_model}"
    if order.num_nodes > 1:
        envs |= {"BROKER_NODE_RANK": str(order.rank), "BROKER_MASTER_ADDR": order.master}
        envs["BROKER_NUM_NODES"] = str(order.num_nodes)
    return envs


def secret_files(order: Order, folder: Path) -> None:
    """Writes the values that are to be in files, which its owner alone can read, into a new folder. Raises OSError."""
    folder.mkdir(parents=True, mode=0o700)
    for name in order.secret_files:
        file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
        with os.fdopen(file, "w", encoding="utf-8") as secret:
            secret.write(order.envs[name])


def secret_paths(order: Order, folder: Path) -> dict[str, str]:
    """The variables that say where these files are."""
    return {name: str(folder / name) for name in order.secret_files}


def call_argv(order: Order, python: str, payload: Path, result: Path) -> list[str]:
    """The command that runs a function; the order's own where it is none."""
    if order.payload is None:
        return list(order.argv)
    return [python, str(call.__file__), str(payload), str(result)]


def hidden(names: dict[str, str]) -> dict[str, str]:
    """Those of this process's variables that a build of an environment needs to reach its package index."""
    return {name: value for name, value in os.environ.items() if name.startswith(("UV_", "PIP_", "SSL_"))} | names
