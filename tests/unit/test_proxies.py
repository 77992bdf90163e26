import pytest

from streamweir.client.proxies import proxy_authorization, proxy_for
from streamweir.errors import ConfigError

P, Q = "http://proxy:3128", "http://other:3128"


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        ("https://api.x.com/v1", {}, None),
        ("https://api.x.com/v1", {"HTTPS_PROXY": P}, P),
        ("https://api.x.com/v1", {"https_proxy": P}, P),
        ("wss://api.x.com/v1", {"HTTPS_PROXY": P}, P),
        ("https://api.x.com/v1", {"HTTPS_PROXY": "proxy:3128"}, P),
        ("https://api.x.com/v1", {"http_proxy": P}, None),
        ("http://api.x.com/v1", {"http_proxy": P}, P),
        ("ws://api.x.com/v1", {"http_proxy": P}, P),
        ("http://api.x.com/v1", {"HTTP_PROXY": P}, None),
        ("http://api.x.com/v1", {"ALL_PROXY": P}, P),
        ("https://api.x.com/v1", {"ALL_PROXY": Q, "HTTPS_PROXY": P}, P),
        ("https://api.x.com/v1", {"HTTPS_PROXY": P, "NO_PROXY": "*"}, None),
        ("https://api.x.com/v1", {"HTTPS_PROXY": P, "NO_PROXY": "x.com"}, None),
        ("https://api.x.com/v1", {"HTTPS_PROXY": P, "no_proxy": " a.com , .x.com"}, None),
        ("https://api.x.com/v1", {"HTTPS_PROXY": P, "NO_PROXY": "*.x.com"}, None),
        ("https://api.x.com/v1", {"HTTPS_PROXY": P, "NO_PROXY": "ax.com"}, P),
        ("https://apix.com/v1", {"HTTPS_PROXY": P, "NO_PROXY": "x.com"}, P),
        ("https://api.x.com/v1", {"HTTPS_PROXY": P, "NO_PROXY": "api.x.com:443"}, None),
        ("https://api.x.com/v1", {"HTTPS_PROXY": P, "NO_PROXY": "api.x.com:8443"}, P),
        ("https://10.1.2.3/v1", {"HTTPS_PROXY": P, "NO_PROXY": "10.0.0.0/8"}, None),
        ("https://11.1.2.3/v1", {"HTTPS_PROXY": P, "NO_PROXY": "10.0.0.0/8"}, P),
        ("https://[2001:db8::1]/v1", {"HTTPS_PROXY": P, "NO_PROXY": "2001:db8::/32"}, None),
        ("https://[2001:db8::1]/v1", {"HTTPS_PROXY": P, "NO_PROXY": "[2001:db8::1]"}, None),
        ("https://127.0.0.1:8080/v1", {"HTTPS_PROXY": P}, None),
        ("https://localhost/v1", {"HTTPS_PROXY": P}, None),
        ("https://[::1]/v1", {"HTTPS_PROXY": P}, None),
    ],
)
def test_the_environments_proxy(url: str, environ: dict[str, str], expected: str | None) -> None:
    assert proxy_for(url, environ, None) == expected


def test_the_configured_proxy_wins() -> None:
    assert proxy_for("https://127.0.0.1/", {"HTTPS_PROXY": Q, "NO_PROXY": "*"}, P) == P
    assert proxy_for("https://api.x.com/", {"HTTPS_PROXY": Q}, "") is None


@pytest.mark.parametrize(
    "bad", ["socks5://user:hunter2@proxy:1080", "https://proxy", "http://", "http://proxy:99999999"]
)
def test_what_is_no_http_proxy(bad: str) -> None:
    with pytest.raises(ConfigError, match="a proxy is an http:// URL") as caught:
        proxy_for("https://api.x.com/", {"HTTPS_PROXY": bad}, None)
    assert "hunter2" not in str(caught.value)


def test_credentials() -> None:
    assert proxy_authorization(P) is None
    assert proxy_authorization("http://user:p%40ss@proxy") == "Basic dXNlcjpwQHNz"
    assert proxy_authorization("http://user@proxy") == "Basic dXNlcjo="
