"""Site files with awkward values: those to be accepted unchanged, and those to be refused, with the message."""

from typing import Any, Final

KEY: Final = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHere someone@desk"


def site(**changes: Any) -> dict[str, Any]:
    """Make a valid site with some sections replaced."""
    return {"hostname": "kitchen", "user": {"name": "pi", "ssh_keys": [KEY]}} | changes


def wifi(**changes: Any) -> dict[str, Any]:
    """Make a site with Wi-Fi, with some keys of that section replaced."""
    return site(wifi={"ssid": "attic", "password": "password", "country": "DE"} | changes)


def password(text: Any) -> dict[str, Any]:
    """Make a site whose user has this password."""
    return site(user={"name": "pi", "password": text})


GOOD: Final = (
    wifi(ssid='say "hi"'),
    wifi(ssid="it's"),
    wifi(ssid="$HOME `id`"),
    wifi(ssid="# no comment"),
    wifi(ssid="back\\slash"),
    wifi(ssid="Küche und Flur"),
    wifi(ssid="a: b, [c], {d}"),
    wifi(ssid="ü" * 16),
    wifi(ssid="x" * 32),
    wifi(ssid=" leading and trailing "),
    wifi(ssid="no"),
    wifi(ssid="12345678"),
    wifi(ssid="😀 home"),
    wifi(password="$ecret `quoted`"),
    wifi(password="quotes \" and '"),
    wifi(password="back\\slash#hash"),
    wifi(password="a" * 63),
    wifi(password="f0" * 32),
    wifi(password=""),
    wifi(security="wpa3", password="plain: 'text' # \\"),
    wifi(hidden=True),
    wifi(country="NO"),
    wifi(country="GB", password="", hidden=True),
    password("$6$ # ' \" \\"),
    password("pässwörd"),
    password("a" * 128),
    password("{json: yes}"),
    site(user={"name": "_service", "ssh_keys": [KEY]}),
    site(user={"name": "root2", "ssh_keys": [KEY, f"{KEY}#2"]}),
    site(hostname="K-1"),
    site(hostname="1" * 63),
    site(timezone="America/Argentina/ComodRivadavia"),
    site(timezone="Etc/GMT+12"),
    site(network={"address": "192.168.1.20/24", "gateway": "192.168.1.1", "dns": ["192.168.1.1", "2001:db8::1"]}),
    site(network={"address": "2001:db8::2/64", "gateway": "2001:db8::1"}),
    wifi() | {"network": {"address": "10.0.0.2/8"}},
    site(settings={"mqtt": {"host": "broker.lan", "username": "u", "password": "# \\ ' \" $ ü"}}),
    site(settings={"camera": {"source": "rtsp://user:p%40ss@cam/live?x=1#y"}}),
    site(settings={"mqtt": None}),
    site(start_timeout=3600),
)

BAD: Final[tuple[tuple[dict[str, Any], str], ...]] = (
    (wifi(ssid=""), "wifi.ssid: must have 1 to 32 bytes"),
    (wifi(ssid="ü" * 17), "wifi.ssid: must have 1 to 32 bytes in UTF-8, and has 34"),
    (wifi(ssid="two\nlines"), "wifi.ssid: must not have control characters"),
    (wifi(ssid="nul\0"), "wifi.ssid: must not have control characters"),
    (wifi(ssid=2024), "wifi.ssid: YAML reads this as a number, not as text: put it in quotes"),
    (wifi(password=12345678), "wifi.password: YAML reads this as a number, not as text: put it in quotes"),
    (wifi(password="short"), "8 to 63 ASCII characters"),
    (wifi(password="a" * 65), "8 to 63 ASCII characters"),
    (wifi(password="pässwörter"), "8 to 63 ASCII characters"),
    (wifi(password="eight\nchars"), "8 to 63 ASCII characters"),
    (wifi(security="wpa3", password=""), "wpa3 needs the passphrase"),
    (wifi(security="wpa3", password="f0" * 32), "wpa3 needs the passphrase"),
    (wifi(country=False), "country: NO without quotes is the word `no` in YAML: write country: 'NO'"),
    (wifi(country="UK"), "the code of the United Kingdom is GB"),
    (wifi(country="XX"), "is not a country code"),
    (password("two\nlines"), "user.password: must be one line"),
    (password(12345678), "user.password: YAML reads this as a number, not as text: put it in quotes"),
    (site(timezone="Europe/Berlín"), "timezone: is not a time zone (did you mean Europe/Berlin?)"),
    (site(timezone="../etc/passwd"), "timezone: is not a time zone"),
    (site(hostname="kitchen.lan"), "hostname"),
    (site(hostname="küche"), "hostname"),
    (site(user={"name": "Pi", "ssh_keys": [KEY]}), "user.name"),
    (site(network={"address": "192.168.1.20"}), "needs a prefix length"),
    (site(network={"address": "192.168.1.20/24", "gateway": "10.0.0.1"}), "is not in the network of the address"),
    (site(network={"address": "192.168.1.300/24"}), "network"),
    (site(folder="/tmp"), "folder is not known"),
)
