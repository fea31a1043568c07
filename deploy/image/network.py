"""The network of a board: the sections of a site file, and the netplan made from them for cloud-init."""

import hashlib
import ipaddress
import re
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, SecretStr, field_validator, model_validator

COUNTRIES: Final = frozenset(
    re.findall(
        "..",
        "ADAEAFAGAIALAMAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBW"
        "BYBZCACCCDCFCGCHCICKCLCMCNCOCRCUCVCWCXCYCZDEDJDKDMDODZECEEEGEHERESETFI"
        "FJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGNGPGQGRGSGTGUGWGYHKHMHNHRHTHUIDIEILIMIN"
        "IOIQIRISITJEJMJOJPKEKGKHKIKMKNKPKRKWKYKZLALBLCLILKLRLSLTLULVLYMAMCMDME"
        "MFMGMHMKMLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNANCNENFNGNINLNONPNRNUNZOMPAPEPF"
        "PGPHPKPLPMPNPRPSPTPWPYQARERORSRURWSASBSCSDSESGSHSISJSKSLSMSNSOSRSSSTSV"
        "SXSYSZTCTDTFTGTHTJTKTLTMTNTOTRTTTVTWTZUAUGUMUSUYUZVAVCVEVGVIVNVUWFWSYE"
        "YTZAZMZW",
    )
)
"""ISO 3166-1 alpha-2 codes."""


class Section(BaseModel):
    """A section of a site file. Messages never show values, as some are secret."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)


class Wifi(Section):
    ssid: str
    """Name of the network, 1 to 32 bytes."""
    password: SecretStr = SecretStr("")
    """WPA passphrase of 8 to 63 characters, or its key of 64 hexadecimal digits; empty: an open network."""
    country: str
    """Country of the board, ISO 3166 (DE, GB, US); without it the radio stays off."""
    security: Literal["wpa2", "wpa3"] = "wpa2"
    """wpa2 (also for access points with WPA2 and WPA3): only the derived key is written to the card. wpa3: SAE only,
    which needs the passphrase itself on the board.
    """
    hidden: bool = False
    """True for a network that does not announce its name."""

    @field_validator("ssid")
    @classmethod
    def _check_ssid(cls, ssid: str) -> str:
        if not 1 <= len(ssid.encode()) <= 32:
            raise ValueError(f"must have 1 to 32 bytes in UTF-8, and has {len(ssid.encode())}")
        return _printable(ssid)

    @field_validator("country")
    @classmethod
    def _check_country(cls, country: str) -> str:
        if country == "UK":
            raise ValueError("the code of the United Kingdom is GB")
        if country not in COUNTRIES:
            raise ValueError("is not a country code of ISO 3166, such as DE, GB or US")
        return country

    @model_validator(mode="after")
    def _check_password(self) -> Self:
        password = self.password.get_secret_value()
        if self.security == "wpa3" and (not password or is_wpa_key(password)):
            raise ValueError("security wpa3 needs the passphrase as the password")
        if password and not is_wpa_key(password) and not re.fullmatch(r"[ -~]{8,63}", password):
            raise ValueError("password: must have 8 to 63 ASCII characters, or be a key of 64 hexadecimal digits")
        return self


class Network(Section):
    """A static address; without this section, DHCP."""

    address: str
    """Address with its prefix length, as in 192.168.1.20/24."""
    gateway: str = ""
    """Address of the router; empty: the local network only."""
    dns: tuple[str, ...] = ()
    """Addresses of name servers."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if "/" not in self.address:
            raise ValueError("address: needs a prefix length, as in 192.168.1.20/24")
        interface = ipaddress.ip_interface(self.address)
        if self.gateway and ipaddress.ip_address(self.gateway) not in interface.network:
            raise ValueError("gateway: is not in the network of the address")
        for server in self.dns:
            ipaddress.ip_address(server)
        return self


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not have control characters")
    return text


def netplan(wifi: Wifi | None, network: Network | None) -> dict[str, Any]:
    """Build cloud-init's network-config, version 2. Wi-Fi, if configured, gets the static address, else Ethernet."""
    settings: dict[str, Any] = {"dhcp4": True, "optional": True}
    static: dict[str, Any] = {"dhcp4": False, "optional": True}
    if network:
        static["addresses"] = [network.address]
        if network.gateway:
            static["routes"] = [{"to": "default", "via": network.gateway}]
        if network.dns:
            static["nameservers"] = {"addresses": list(network.dns)}
    tree: dict[str, Any] = {"version": 2, "ethernets": {"eth0": static if network and not wifi else settings}}
    if wifi:
        point = {"access-points": {wifi.ssid: _access_point(wifi)}, "regulatory-domain": wifi.country}
        tree["wifis"] = {"wlan0": (static if network else settings) | point}
    return {"network": tree}


def _access_point(wifi: Wifi) -> dict[str, Any]:
    point: dict[str, Any] = {"hidden": True} if wifi.hidden else {}
    password = wifi.password.get_secret_value()
    if wifi.security == "wpa3":
        point["auth"] = {"key-management": "sae", "password": password}
    elif password:
        point["password"] = password if is_wpa_key(password) else wpa_key(wifi.ssid, password)
    return point


def is_wpa_key(password: str) -> bool:
    """Whether a WPA password is a key already, not a passphrase."""
    return re.fullmatch(r"[0-9a-fA-F]{64}", password) is not None


def wpa_key(ssid: str, password: str) -> str:
    """The key of a WPA2 network, 64 hexadecimal digits: PBKDF2 of IEEE 802.11i, annex H.4."""
    return hashlib.pbkdf2_hmac("sha1", password.encode(), ssid.encode(), 4096, 32).hex()
