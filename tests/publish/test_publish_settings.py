"""Is a name that decides a name, and does no error text show what is secret?"""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from bridge import settings as configuration
from bridge.certificates import read_private_key
from bridge.errors import AccessDenied, ConfigError
from bridge.publish.decisions import Answer, Ask, User, decide
from bridge.settings import PublishUserSettings

OPERATOR = '{ password_hash = "scrypt$x", role = "operator" }'


def refused(folder: Path, text: str) -> str:
    """All problems of a configuration, as a person is shown them."""
    file = folder / "bridge.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as problem:
        configuration.load(file)
    return str(problem.value)


@pytest.mark.parametrize("name", ["", " ", "\\t", "\\u00a0", "\\u200b", "a\\nb", "x" * 101])
def test_who_decides_has_a_name(tmp_path: Path, name: str) -> None:
    """A decision is recorded under it; a blank one would be a decision of nobody."""
    assert "publish.opcua.users" in refused(tmp_path, f'[publish.opcua.users]\n"{name}" = {OPERATOR}\n')


@pytest.mark.parametrize("name", ["anna", "Özlem K.", "山田", "anna@plant.example", "x" * 100])
def test_names_of_people_are_taken(tmp_path: Path, name: str) -> None:
    file = tmp_path / "bridge.toml"
    file.write_text(f'[publish.opcua.users]\n"{name}" = {OPERATOR}\n', encoding="utf-8")
    opcua = configuration.load(file).publish.opcua
    assert opcua is not None
    assert list(opcua.users) == [name]


@pytest.mark.parametrize("name", ["", "  ", "\u00a0", "x" * 101])
async def test_nobody_without_a_name_decides_whatever_the_settings_let_through(name: str) -> None:
    user = User.of(name, PublishUserSettings(password_hash=SecretStr("x"), role="operator"), "s")

    class NeverAsked:
        pass

    found = await decide(NeverAsked(), user, Ask.APPROVE, ["R-1", "a" * 64, ""])  # type: ignore[arg-type]
    assert found.answer is Answer.NOT_PERMITTED
    assert "name" in found.message


def test_a_password_in_the_place_of_a_user_is_not_shown(tmp_path: Path) -> None:
    text = refused(tmp_path, '[publish.opcua.users]\nanna = "hunter2-secret"\n')
    assert "publish.opcua.users.anna" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    "broker", ["mqtt://anna:hunter2@broker", "anna:hunter2@broker", "mqtts://anna:hun/ter2@b"]
)
@pytest.mark.parametrize("section", ["publish.sparkplug", "links.plant"])
def test_a_password_in_a_brokers_address_is_masked(tmp_path: Path, section: str, broker: str) -> None:
    more = 'kind = "mqtt"' if section.startswith("links") else 'group = "plant"'
    text = refused(tmp_path, f'[{section}]\n{more}\nbroker = "{broker}"\n')
    assert "broker" in text
    assert "use username and password" in text
    assert "hun" not in text
    assert "ter2" not in text


def test_a_misspelt_address_is_shown(tmp_path: Path) -> None:
    text = refused(tmp_path, '[publish.sparkplug]\ngroup = "plant"\nbroker = "mqt://broker"\n')
    assert "(found 'mqt://broker')" in text


def test_a_key_that_cannot_be_read_is_not_blamed_on_a_setting_that_was_not_given(tmp_path: Path) -> None:
    """[publish.opcua] has no private_key_password; who uses none is told what else to do."""
    key = tmp_path / "key.pem"
    key.write_text("-----BEGIN nonsense", encoding="utf-8")
    with pytest.raises(AccessDenied, match="one without a password"):
        read_private_key(key)
    with pytest.raises(AccessDenied, match="private_key_password does not open it"):
        read_private_key(key, "")
