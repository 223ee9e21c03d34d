"""The configuration: found where it is, the environment over it, and each problem with its file, line and field."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.model.errors import InvalidInput, UnknownName
from broker.run.settings import Settings, load_settings
from broker.run.settings.load import find_config
from broker.run.settings.toml_source import toml_tree

TOML = """\
state_dir = "state"
default_max_wait = "5m"

[secrets]
file = "secrets.env"

[pools.my-gpus]  # a comment
executor = "slurm"
kind = "cluster"
cpus = 8
memory = "32GB"
accelerators = { A100-80GB = 8 }
options = { partition = "gpu", retries = 3 }

[pools.my-gpus.price]
usd_per_hour = 12.5
source = "contract of 2026"
"""
YAML = """\
state_dir: state
default_max_wait: 5m
secrets:
  file: secrets.env
pools:
  my-gpus:
    executor: slurm
    kind: cluster
    cpus: 8
    memory: 32GB
    accelerators:
      A100-80GB: 8
    options:
      partition: gpu
      retries: 3
    price:
      usd_per_hour: 12.5
      source: contract of 2026
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty, with a home that is elsewhere."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


def refused(file: Path, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(InvalidInput) as caught:
        load_settings(file, environment or {})
    return str(caught.value)


def test_without_a_file_everything_has_a_value(folder: Path, tmp_path: Path) -> None:
    settings = load_settings(None, {})
    assert settings.file is None and settings.pool_parts == {}
    assert settings.state_dir == tmp_path / "home/.local/state/broker"
    assert settings.store_url == f"sqlite:///{settings.state_dir}/broker.db"
    assert (settings.listen, settings.default_max_wait_s, settings.stale_price_days) == ("unix", None, 90)
    assert settings.user
    assert load_settings(None, {"XDG_STATE_HOME": "/x"}).state_dir == Path("/x/broker")


@pytest.mark.parametrize(("name", "text"), [("c.toml", TOML), ("c.yaml", YAML)])
def test_toml_and_yaml_say_the_same(folder: Path, name: str, text: str) -> None:
    file = folder / name
    file.write_text(text)
    settings = load_settings(file, {})
    assert settings.file == file
    assert settings.state_dir == folder / "state" and settings.secret_file == folder / "secrets.env"
    assert settings.default_max_wait_s == 300
    assert settings.gpu_models == {"A100-80GB"}
    part = settings.pool_parts["my-gpus"]
    assert (part.cpus, part.memory, part.options) == (8, 32 * 10**9, {"partition": "gpu", "retries": 3})
    assert part.price is not None and part.price.usd_per_hour == "12.5"


def test_the_file_is_looked_for_in_order(folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "home/.config/broker/config.toml"
    home.parent.mkdir(parents=True)
    home.write_text("")
    assert find_config({}) == home
    (folder / "broker.yaml").write_text("")
    assert find_config({}) == Path("broker.yaml")
    assert find_config({"BROKER_CONFIG": "~/other.toml"}) == tmp_path / "home/other.toml"
    (folder / "broker.toml").write_text("")
    with pytest.raises(InvalidInput, match=r"broker.toml: and broker.yaml are both in this folder"):
        find_config({})


def test_the_environment_is_laid_over_the_file(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(TOML)
    settings = load_settings(
        file,
        {
            "BROKER_STATE_DIR": "elsewhere",
            "BROKER_POOLS__MY_GPUS__CPUS": "16",
            "BROKER_POOLS__MY_GPUS__PRICE__USD_PER_HOUR": "9",
            "BROKER_POOLS__MY_GPUS__ACCELERATORS": '{"H100": 4}',
            "BROKER_POOLS__MY_GPUS__OPTIONS__RETRIES": "5",
            "BROKER_SETTLE_EVERY": "1m",
            "BROKER_LISTEN": "",
            "BROKER_POOL": "of a job",
            "BROKER_SECRET_S": "hush",
            "BROKER_URL": "of another program",
        },
    )
    assert settings.state_dir == folder / "elsewhere", "a path in the environment is meant from here"
    assert settings.secret_file == tmp_path / "secrets.env", "a path in the file from its folder"
    assert (settings.settle_every_s, settings.listen) == (60, "unix")
    part = settings.pool_parts["my-gpus"]
    assert part.cpus == 16 and part.price is not None and part.price.usd_per_hour == "9"
    assert settings.gpu_models == {"H100"} and part.options == {"partition": "gpu", "retries": 5}


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("BROKER_STATEDIR", "x", "BROKER_STATEDIR: is no setting (did you mean BROKER_STATE_DIR?)"),
        ("BROKER_LISTEN", "tcp", "BROKER_LISTEN: must be unix, or loopback:PORT"),
        ("BROKER_POOLS__MY_GPUS__CPU", "x", "BROKER_POOLS__MY_GPUS__CPU: unknown field (did you mean 'cpus'?)"),
        ("BROKER_POOLS__MY_GPUS__CPUS", "-1", "BROKER_POOLS__MY_GPUS__CPUS: must be more than zero, not '-1'"),
        ("BROKER_POOLS", "[1", "BROKER_POOLS: is not JSON"),
        ("BROKER_STATE_DIR__X", "1", "BROKER_STATE_DIR__X: state_dir is not a map"),
        ("BROKER_POOLS__NEW__KIND", "cluster", "executor: is required"),
    ],
)
def test_a_variable_that_is_wrong_is_named(folder: Path, variable: str, value: str, said: str) -> None:
    file = folder / "c.toml"
    file.write_text(TOML)
    assert said in refused(file, {variable: value})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("listn = 'unix'", "c.toml:1: listn: unknown field (did you mean 'listen'?)"),
        ("listen = 'loopback:99999'", "c.toml:1: listen: must be unix, or loopback:PORT"),
        ("default_max_wait = -1", "c.toml:1: default_max_wait: must not be negative"),
        ("stale_price_days = 0", "c.toml:1: stale_price_days: must be a number of days between 1 and 3,660, not 0"),
        ("settle_every = nan", "c.toml:1: settle_every: must be a finite number"),
        ("pools = 3", "c.toml:1: pools: must be a map"),
        ("[pools.Ray]\nexecutor = 'ray'\nkind = 'cluster'", "c.toml:1: pools.Ray: 'Ray' is no name of a pool"),
        (
            "[pools.ray]\nkind = 'clusterr'\nexecutor = 'ray'",
            "c.toml:2: pools.ray.kind: must be 'cluster' or",
        ),
        ("[pools.ray]\nkind = 'cluster'", "c.toml:1: pools.ray.executor: is required"),
        ("[pools.ray.price]\nofer = 'x'", "c.toml:2: pools.ray.price.ofer: unknown field (did you mean 'offer'?)"),
        (
            "[pools.ray.head_price]\nofer = 'x'",
            "c.toml:2: pools.ray.head_price.ofer: unknown field (did you mean 'offer'?)",
        ),
        ("[pools.ray.head_price.own]\nyear = 3", "own.year: unknown field (did you mean 'years'?)"),
        (
            "[pools.ray.keep_warm]\nwort = '1s'",
            "c.toml:2: pools.ray.keep_warm.wort: unknown field (did you mean 'worth'?)",
        ),
        ("[notify.ops]\nevent = 'job'", "c.toml:2: notify.ops.event: unknown field (did you mean 'events'?)"),
        ("[logs]\nkeep = '0s'", "c.toml:2: logs.keep: must be longer than zero"),
        ("[secrets]\nenv_prefix = 'a b'", "c.toml:2: secrets.env_prefix: does not look as it should"),
        ("a = ", "c.toml:1: is not TOML: "),
        ("a = 1\na = 2", "c.toml:2: is not TOML: Cannot overwrite a value"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(folder: Path, line: str, said: str) -> None:
    (folder / "c.toml").write_text(line)
    assert said in refused(folder / "c.toml")


def test_a_file_that_is_named_must_be_there(folder: Path) -> None:
    assert "none.toml: can't be read: No such file" in refused(folder / "none.toml")


def test_lines_of_toml() -> None:
    text = 'a = """\n[not.a.table]\nb = 1\n"""\n[x."y.z"]\nk.l = 1\n[[list]]\nm = 2\n'
    places = {keys: place.line for keys, place in toml_tree(text, "f").places.items() if keys}
    assert places == {("a",): 1, ("x", "y.z"): 5, ("x", "y.z", "k", "l"): 6, ("list",): 7, ("list", "m"): 8}


@given(st.text(max_size=100))
def test_any_text_is_settings_or_is_refused(text: str) -> None:
    try:
        toml_tree(text, "f")
    except InvalidInput as error:
        assert error.problems


@pytest.fixture
def secrets(folder: Path) -> Settings:
    (folder / "secrets.env").write_text("# mine\nA=one\nB = two=2 \n\n")
    (folder / "secrets.env").chmod(stat.S_IRUSR | stat.S_IWUSR)
    (folder / "broker.toml").write_text(TOML)
    return load_settings(None, {})


def test_secrets_come_from_the_environment_then_the_file(secrets: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_SECRET_A", "other")
    assert secrets.secrets().values(["A", "B"]) == {"A": "other", "B": "two=2"}
    assert secrets.secrets().values([]) == {}


def test_a_secret_without_a_value_is_named(secrets: Settings) -> None:
    with pytest.raises(UnknownName, match=r"secret C has no value: `broker secret set C`, or have it set") as caught:
        secrets.secrets().values(["A", "C"])
    assert "/" not in str(caught.value)  # whoever submits a job is told: not where the broker's files are


def test_a_file_of_secrets_that_others_can_read_is_refused(secrets: Settings) -> None:
    assert secrets.secret_file is not None
    secrets.secret_file.chmod(0o640)
    with pytest.raises(InvalidInput, match="chmod 600") as caught:
        secrets.secrets().values(["A"])
    assert "two" not in str(caught.value)
    assert "/" not in str(caught.value)


def test_a_line_of_secrets_is_not_repeated(secrets: Settings) -> None:
    assert secrets.secret_file is not None
    secrets.secret_file.write_text("hunter2\n")
    with pytest.raises(InvalidInput, match=r"`secrets.file`\) has a line that is not NAME=value, 1") as caught:
        secrets.secrets().values(["A"])
    assert "hunter2" not in str(caught.value)
