from __future__ import annotations

import os
from pathlib import Path

import pytest

from streams.settings import SettingsError, load, new_key


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder without a settings file, an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("LINKCAST_")]:
        monkeypatch.delenv(name)


def test_given_wins_over_environment_over_file_over_default(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("linkcast.toml").write_text("kafka_port = 1\nredis_port = 1\ncassandra_port = 1\n")
    monkeypatch.setenv("LINKCAST_KAFKA_PORT", "2")
    monkeypatch.setenv("LINKCAST_REDIS_PORT", "2")
    settings = load(kafka_port=3)
    found = [
        (getattr(settings, name), settings.origin(name))
        for name in ("kafka_port", "redis_port", "cassandra_port", "view_port")
    ]
    assert found == [(3, "given"), (2, "environment"), (1, "file"), (18_080, "default")]


def test_addresses_follow_from_host_and_port_unless_given() -> None:
    derived, given = load(kafka_port=1), load(kafka_port=1, kafka_bootstrap="broker:2")
    assert (derived.kafka_bootstrap, derived.origin("kafka_bootstrap")) == ("127.0.0.1:1", "derived")
    assert (given.kafka_bootstrap, given.origin("kafka_bootstrap")) == ("broker:2", "given")


def test_lists_read_the_same_in_environment_and_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text("gateway_ports = [1, 2]\n")
    from_file = load(file)
    monkeypatch.setenv("LINKCAST_GATEWAY_PORTS", "1, 2")
    assert from_file.gateway_ports == load().gateway_ports == (1, 2)


def test_the_data_folder_does_not_move_with_the_current_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = load()
    monkeypatch.chdir("/")
    assert settings.data == tmp_path / ".linkcast"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kafka_port = 0", "kafka_port (from: file)"),
        ("kafka_prot = 1", "kafka_prot (from: file)"),
        ("heartbeat_ms = 3000", "three times heartbeat_ms"),
        ("kafka_port =", "is not TOML"),
    ],
)
def test_a_wrong_setting_is_named_with_its_origin_and_nothing_else(text: str, said: str) -> None:
    Path("linkcast.toml").write_text(text)
    with pytest.raises(SettingsError) as raised:
        load()
    assert said in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_a_named_file_must_be_there() -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml cannot be read"):
        load(Path("nowhere.toml"))


GOOD = "k:" + "s" * 32


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["hidden"], "key 1 is not `name:secret`"),
        ([GOOD, "a b:" + "hidden" * 6], "key 2 is not `name:secret`"),
        ([":" + "hidden" * 6], "key 1 is not `name:secret`"),
        ([GOOD, "new:hidden"], "the secret of key `new` has fewer than 32 bytes"),
        ([GOOD, GOOD + "hidden"], "two keys are named `k`"),
    ],
)
def test_a_key_that_protects_nothing_is_refused_and_not_shown(keys: list[str], said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(token_keys=keys)
    assert said in str(raised.value)
    assert "hidden" not in str(raised.value)


def test_a_key_is_made_once_and_is_its_owners_alone() -> None:
    first, second = load(), load()
    assert first.signing_keys() == second.signing_keys()
    ((name, secret),) = first.signing_keys().items()
    assert name == "first"
    assert len(secret) >= 32
    kept = list(first.data.iterdir())
    assert [file.name for file in kept] == ["token.keys"]
    assert kept[0].stat().st_mode & 0o777 == 0o600


def test_kept_keys_are_changed_line_by_line() -> None:
    settings = load()
    settings.signing_keys()
    kept = settings.data / "token.keys"
    kept.write_text(new_key("second") + "\n" + kept.read_text())
    assert list(load().signing_keys()) == ["second", "first"]
    kept.write_text("third:short\n")
    with pytest.raises(SettingsError, match="fewer than 32 bytes"):
        load().signing_keys()


def test_given_keys_are_used_in_their_order_and_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINKCAST_TOKEN_KEYS", f"new:{'n' * 40}, old:{'o' * 31}:")
    settings = load()
    assert list(settings.signing_keys().items()) == [("new", "n" * 40), ("old", "o" * 31 + ":")]
    assert not settings.data.exists()
    assert "nnn" not in repr(settings.token_keys)
