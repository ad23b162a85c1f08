"""Credentials of every kind, made by chance in the shapes that their issuers tell; none was ever good."""

import base64
import random
import string
from collections.abc import Iterator
from typing import Final

HEX: Final = string.hexdigits.lower()[:16]
ALNUM: Final = string.ascii_letters + string.digits
WORD: Final = ALNUM + "-_"
UPPER: Final = string.ascii_uppercase + string.digits


class Maker:
    """Makes them; the same seed makes the same."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def some(self, letters: str, number: int) -> str:
        made = "".join(self._random.choice(letters) for _ in range(number - 1))
        # Behind a last hyphen no word would end.
        return made + self._random.choice(sorted(set(letters) & set(ALNUM)))

    def token(self) -> str:
        return ".".join(("eyJ" + self.some(WORD, 30), "eyJ" + self.some(WORD, 60), self.some(WORD, 43)))

    def pem(self, name: str, lines: int) -> str:
        body = "\n".join(self.some(ALNUM + "+/", 64) for _ in range(lines))
        return f"-----BEGIN {name}-----\n{body}\n{self.some(ALNUM, 20)}==\n-----END {name}-----"

    def all(self) -> Iterator[tuple[str, str, str]]:
        """Tell of each its kind, a text with it, and the part that must not be seen."""
        some = self.some
        shapes = [
            ("cartrita token", "ck_" + some(WORD, 43)),
            ("aws access key", "AKIA" + some("ABCDEFGHJKLMNPQRSTUVWXYZ234567", 16)),
            ("aws access key", "ASIA" + some("ABCDEFGHJKLMNPQRSTUVWXYZ234567", 16)),
            ("google api key", "AIza" + some(WORD, 35)),
            ("google oauth credential", "GOCSPX-" + some(WORD, 28)),
            ("google oauth credential", "ya29." + some(WORD, 120)),
            ("azure client secret", some(ALNUM, 3) + "8Q~" + some(ALNUM + "_~", 34)),
            ("anthropic key", "sk-ant-api03-" + some(WORD, 93) + "AA"),
            ("anthropic key", "sk-ant-oat01-" + some(WORD, 93) + "AA"),
            ("openai key", "sk-proj-" + some(WORD, 74) + "T3BlbkFJ" + some(WORD, 74)),
            ("openai key", "sk-svcacct-" + some(WORD, 120)),
            ("openai key", "sk-" + some(ALNUM, 20) + "T3BlbkFJ" + some(ALNUM, 20)),
            ("openrouter key", "sk-or-v1-" + some(HEX, 64)),
            ("model provider key", "gsk_" + some(ALNUM, 52)),
            ("model provider key", "xai-" + some(ALNUM, 80)),
            ("model provider key", "pplx-" + some(ALNUM, 48)),
            ("model provider key", "nvapi-" + some(WORD, 64)),
            ("hugging face token", "hf_" + some(string.ascii_letters, 34)),
            *(("github token", f"gh{one}_" + some(ALNUM, 36)) for one in "pousr"),
            ("github token", "github_pat_" + some(ALNUM, 22) + "_" + some(ALNUM, 59)),
            ("gitlab token", "glpat-" + some(WORD, 20)),
            ("gitlab token", "glpat-" + some(WORD, 27) + ".01." + some(string.digits + "abcdef", 9)),
            ("gitlab token", "gldt-" + some(WORD, 20)),
            ("atlassian token", "ATATT3" + some(WORD, 180) + "=" + some(UPPER, 8)),
            ("slack token", f"xoxb-{some(string.digits, 12)}-{some(string.digits, 13)}-{some(ALNUM, 24)}"),
            ("slack token", f"xapp-1-A{some(UPPER, 10)}-{some(string.digits, 13)}-{some(HEX, 64)}"),
            (
                "webhook address",
                f"https://hooks.slack.com/services/T{some(UPPER, 10)}/B{some(UPPER, 10)}/{some(ALNUM, 24)}",
            ),
            (
                "webhook address",
                f"https://discord.com/api/webhooks/{some(string.digits, 18)}/{some(WORD, 68)}",
            ),
            ("discord token", "M" + some(ALNUM, 25) + "." + some(ALNUM, 6) + "." + some(WORD, 38)),
            ("telegram token", some("123456789", 10) + ":AA" + some(WORD, 33)),
            ("stripe key", "sk_live_" + some(ALNUM, 99)),
            ("stripe key", "rk_test_" + some(ALNUM, 24)),
            ("webhook secret", "whsec_" + some(ALNUM + "+/", 43) + "="),
            ("payment key", "sq0atp-" + some(WORD, 22)),
            ("shopify token", "shpat_" + some(HEX, 32)),
            ("twilio key", "SK" + some(HEX, 32)),
            ("sendgrid key", "SG." + some(WORD, 22) + "." + some(WORD, 43)),
            ("mail service key", "xkeysib-" + some(HEX, 64) + "-" + some(ALNUM, 16)),
            ("package registry token", "npm_" + some(ALNUM, 36)),
            ("package registry token", "pypi-AgEIcHlwaS5vcmc" + some(WORD, 120)),
            ("package registry token", "dckr_pat_" + some(WORD, 27)),
            ("hosting token", "dop_v1_" + some(HEX, 64)),
            ("hosting token", "sbp_" + some(HEX, 40)),
            ("infrastructure token", "hvs." + some(WORD, 95)),
            ("infrastructure token", "dapi" + some(HEX, 32)),
            ("infrastructure token", some(ALNUM, 14) + ".atlasv1." + some(WORD, 67)),
            ("infrastructure token", "AGE-SECRET-KEY-1" + some(UPPER, 58)),
            ("monitoring key", "glsa_" + some(ALNUM, 32) + "_" + some(HEX, 8)),
            ("work tool token", "lin_api_" + some(ALNUM, 40)),
            ("work tool token", "ntn_" + some(ALNUM, 46)),
            ("work tool token", "PMAK-" + some(HEX, 24) + "-" + some(HEX, 34)),
            ("json web token", self.token()),
        ]
        for kind, secret in shapes:
            yield kind, f"it is {secret} here", secret
        for name in ("RSA PRIVATE KEY", "PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK"):
            block = self.pem(name, 8)
            yield "private key", f"see\n{block}\nabove", block.splitlines()[3]
            yield "private key", repr(block), block.splitlines()[3]
        password = some(ALNUM + "!%*", 14) + "7aZ"
        for text in (
            f"postgres://ann:{password}@db.internal:5432/orders",
            f"redis://:{password}@cache:6379/0",
            f"DB_PASSWORD={password}",
            f'"password": "{password}",',
            f"Server=tcp:db,1433;Database=x;User Id=ann;Password={password};",
            f"spring.datasource.password: {password}",
        ):
            yield "password", text, password
        value = some(ALNUM, 40)
        basic = base64.b64encode(f"ann:{password}".encode()).decode()
        yield "authorization", f"Authorization: Bearer {value}", value
        yield "authorization", f"curl -H 'Authorization: token {value}' https://x", value
        yield "authorization", f"proxy-authorization: Basic {basic}", basic
        yield "key", f"aws_secret_access_key = {value}", value
        account = some(ALNUM + "+/", 86) + "=="
        yield "key", f"AccountName=x;AccountKey={account};EndpointSuffix=y", account
        yield "key", f"X-Api-Key: {value}", value
        yield "secret", f"client_secret: '{value}'", value
        yield "token", f'{{\\"access_token\\": \\"{value}\\"}}', value
        signature = some(ALNUM, 43) + "%3D"
        yield "signed address", f"https://a.blob.core.windows.net/b?sv=2026&sig={signature}", signature
