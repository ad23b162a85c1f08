"""What credentials look like, kind by kind, as those who issue them say.

Each pattern is one of RE2's, so that its time is linear in the text. The group `secret` is what is taken out;
it never spans blanks, quotes, brackets, commas or semicolons (see `finding.WORD_ENDS`), so that a text that
comes in pieces is read the same way as a whole one.
"""

from dataclasses import dataclass
from typing import Final

_WORD: Final = "[A-Za-z0-9_-]"
_ALNUM: Final = "[A-Za-z0-9]"
_HEX: Final = "[0-9a-f]"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of credential."""

    name: str
    """As it is told in the place of what was taken out."""
    patterns: tuple[str, ...]
    """Each the whole credential, from its first character on; longer ones are taken to their end."""
    ends: str = _WORD
    """What may not follow."""


BY_SHAPE: Final = (
    Kind("cartrita token", (f"ck_{_WORD}{{43}}",)),
    Kind("aws access key", ("(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}",), ends="[A-Za-z0-9_/+=-]"),
    Kind("aws bedrock key", ("ABSK[A-Za-z0-9+/]{100,}={0,2}", "bedrock-api-key-[A-Za-z0-9+/=]{40,}")),
    Kind("google api key", (f"AIza{_WORD}{{35}}",)),
    Kind(
        "google oauth credential",
        (f"GOCSPX-{_WORD}{{28}}", f"ya29\\.{_WORD}{{30,}}", f"1//0{_WORD}{{40,}}"),
    ),
    Kind("azure client secret", ("[A-Za-z0-9_~.-]{3}[78]Q~[A-Za-z0-9_~.-]{31,34}",), ends="[A-Za-z0-9_~-]"),
    Kind("anthropic key", (f"sk-ant-[a-z]+[0-9]{{2}}-{_WORD}{{80,}}",)),
    Kind(
        "openai key",
        (
            f"sk-(?:proj|svcacct|admin|service|None)-{_WORD}{{40,}}",
            f"sk-{_ALNUM}{{20}}T3BlbkFJ{_ALNUM}{{20}}",
            f"sess-{_ALNUM}{{40}}",
        ),
    ),
    Kind("openrouter key", (f"sk-or-v1-{_HEX}{{64}}",)),
    Kind(
        "model provider key",
        (
            f"gsk_{_ALNUM}{{52}}",
            f"xai-{_ALNUM}{{80}}",
            f"pplx-{_ALNUM}{{48}}",
            f"nvapi-{_WORD}{{60,}}",
            "csk-[a-z0-9]{48}",
            f"fw_{_ALNUM}{{22,24}}",
            f"r8_{_ALNUM}{{37}}",
            f"lsv2_(?:pt|sk)_{_HEX}{{32}}_{_HEX}{{10}}",
            f"sk-lf-{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}",
            f"tvly-(?:dev-|prod-)?{_ALNUM}{{32}}",
            f"pa-{_WORD}{{43}}",
            f"jina_{_HEX}{{32}}{_WORD}{{28}}",
            f"sk-{_ALNUM}{{32,64}}",
        ),
    ),
    Kind("hugging face token", ("(?:hf|api_org)_[A-Za-z]{34}",)),
    Kind(
        "github token",
        (
            f"gh[pousr]_{_ALNUM}{{36,}}",
            f"ghs_[0-9]+_eyJ{_WORD}+\\.{_WORD}+\\.{_WORD}+",
            f"github_pat_{_ALNUM}{{22}}_{_ALNUM}{{59}}",
        ),
    ),
    Kind(
        "gitlab token",
        (
            f"gl(?:pat|dt|rt|rtr|cbt|ptt|ft|imt|agent|oas|soat|ffct|wt)-{_WORD}{{20,}}(?:\\.[0-9a-z]{{2,}}){{0,2}}",
            f"GR1348941{_WORD}{{20}}",
        ),
    ),
    Kind(
        "atlassian token",
        ("AT(?:ATT|CTT)3[A-Za-z0-9_=-]{100,}", f"ATBB{_ALNUM}{{32}}"),
        ends="[A-Za-z0-9_=-]",
    ),
    Kind(
        "slack token",
        (
            f"xox[abeoprs]-(?:[0-9]-)?{_ALNUM}{{10,}}-{_WORD}{{10,}}",
            f"xoxe\\.xox[bp]-[0-9]-{_ALNUM}{{100,}}",
            f"xoxe-[0-9]-{_ALNUM}{{100,}}",
            f"xapp-[0-9]-{_ALNUM}+-[0-9]+-{_ALNUM}{{30,}}",
        ),
    ),
    Kind(
        "webhook address",
        (
            "https://hooks\\.slack(?:-gov)?\\.com/(?:services|workflows|triggers)/[A-Za-z0-9_/-]{30,}",
            f"https://(?:\\w+\\.)?discord(?:app)?\\.com/api/(?:v[0-9]+/)?webhooks/[0-9]{{17,20}}/{_WORD}{{60,}}",
            "https://[a-z0-9-]+\\.webhook\\.office\\.com/webhookb2/[A-Za-z0-9@/-]{60,}",
        ),
        ends="[A-Za-z0-9_/-]",
    ),
    Kind("discord token", (f"[MNO]{_WORD}{{23,27}}\\.{_WORD}{{6}}\\.{_WORD}{{27,38}}",)),
    Kind("telegram token", (f"[0-9]{{8,10}}:AA{_WORD}{{33}}",)),
    Kind("stripe key", (f"(?:sk|rk)_(?:live|test|prod)_{_ALNUM}{{16,}}",), ends=_ALNUM),
    Kind("webhook secret", ("whsec_[A-Za-z0-9+/]{32,}={0,2}",), ends="[A-Za-z0-9+/=]"),
    Kind(
        "payment key",
        (
            f"sq0(?:atp|csp)-{_WORD}{{22,}}",
            "EAAA[A-Za-z0-9+=_-]{60}",
            f"access_token\\$(?:production|sandbox)\\$[0-9a-z]{{16}}\\${_HEX}{{32}}",
            "(?:live|test)_[0-9A-Za-z]{30,35}_mollie",
            f"FLWSECK(?:_TEST)?-{_ALNUM}{{32}}-X",
        ),
    ),
    Kind("shopify token", ("shp(?:at|ca|pa|ss|ua|tka)_[0-9a-fA-F]{32}",)),
    Kind("twilio key", (f"SK{_HEX}{{32}}",), ends=_ALNUM),
    Kind("sendgrid key", (f"SG\\.{_WORD}{{22}}\\.{_WORD}{{43}}",)),
    Kind(
        "mail service key",
        (
            f"xkeysib-{_HEX}{{64}}-{_ALNUM}{{16}}",
            f"re_{_ALNUM}{{8}}_{_ALNUM}{{24}}",
            f"{_HEX}{{32}}-us[0-9]{{1,2}}",
            f"key-{_HEX}{{32}}",
            f"{_HEX}{{32}}-{_HEX}{{8}}-{_HEX}{{8}}",
        ),
        ends=_ALNUM,
    ),
    Kind(
        "package registry token",
        (
            f"npm_{_ALNUM}{{36}}",
            "pypi-AgE[A-Za-z0-9_-]{60,}",
            f"rubygems_{_HEX}{{48}}",
            f"cio{_ALNUM}{{32}}",
            "oy2[a-z0-9]{43}",
            f"dckr_(?:pat|oat)_{_WORD}{{27,32}}",
            f"CLOJARS_{_HEX}{{60}}",
        ),
    ),
    Kind(
        "hosting token",
        (
            f"do[opr]_v1_{_HEX}{{64}}",
            f"HRKU-{_WORD}{{36,}}",
            f"fo1_{_WORD}{{43}}",
            "fm[12][ar]?_[A-Za-z0-9+/]{100,}={0,3}",
            f"nf[pcu]_{_ALNUM}{{36}}",
            f"v1\\.0-{_HEX}{{24}}-{_HEX}{{146}}",
            f"cf(?:ut|at|k)_{_WORD}{{40,}}",
            f"vc[pikar]_{_ALNUM}{{40,}}",
            f"sbp_{_HEX}{{40}}",
            f"sb_secret_{_WORD}{{31}}",
            "pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{32,}",
            f"rnd_{_ALNUM}{{28,}}",
        ),
    ),
    Kind(
        "infrastructure token",
        (
            f"dapi{_HEX}{{32}}(?:-[0-9])?",
            f"pul-{_HEX}{{40}}",
            f"{_ALNUM}{{14}}\\.atlasv1\\.[A-Za-z0-9_=-]{{60,70}}",
            f"hv[sbr]\\.{_WORD}{{24,}}",
            f"dp\\.(?:pt|st|ct|sa|scim|audit)\\.(?:[a-z0-9_-]{{2,35}}\\.)?{_ALNUM}{{40,44}}",
            "ops_eyJ[A-Za-z0-9+/]{200,}={0,3}",
            "AGE-SECRET-KEY-1[A-Z0-9]{58}",
            f"tskey-[a-z]+-{_ALNUM}+-{_ALNUM}{{20,}}",
        ),
    ),
    Kind(
        "monitoring key",
        (
            f"gl(?:sa)_{_ALNUM}{{32}}_{_HEX}{{8}}",
            "glc_eyJ[A-Za-z0-9+/]{40,}={0,3}",
            "NRAK-[A-Z0-9]{27}",
            f"sntr(?:ys_eyJ[A-Za-z0-9+/=_-]{{40,}}|yu_{_HEX}{{64}})",
            "dt0[a-z][0-9]{2}\\.[A-Z0-9]{24}\\.[A-Z0-9]{64}",
            f"ph[cx]_{_ALNUM}{{43}}",
        ),
    ),
    Kind(
        "work tool token",
        (
            f"lin_(?:api|oauth)_{_ALNUM}{{40,}}",
            f"ntn_{_ALNUM}{{40,}}",
            f"pat{_ALNUM}{{14}}\\.{_HEX}{{64}}",
            f"figd_{_WORD}{{40,}}",
            f"PMAK-{_HEX}{{24}}-{_HEX}{{34}}",
            f"sgp_(?:[a-z0-9]+_)?{_HEX}{{40}}",
            f"bkua_{_HEX}{{40}}",
            f"CFPAT-{_WORD}{{43}}",
            f"secret_{_ALNUM}{{43}}",
        ),
    ),
    Kind(
        "json web token",
        (
            f"eyJ{_WORD}{{10,}}\\.eyJ{_WORD}{{10,}}\\.{_WORD}{{16,}}",
            f"eyJ{_WORD}{{10,}}\\.{_WORD}*(?:\\.{_WORD}{{10,}}){{2}}\\.{_WORD}{{16,}}",
        ),
    ),
)
"""Credentials that show by themselves what they are."""

KEY_NAMES: Final = (
    "pass(?:word|wd|phrase|code)|pwd|secret|credentials?|tokens?|"
    "(?:api|access|secret|private|signing|encryption|account|auth|master|subscription|service|shared|license)"
    "(?:[_-]?access)?[_ -]?key"
)
"""How names end under which credentials stand."""
_VALUE: Final = "[A-Za-z0-9_~+/!@#$%^*?&.\x80-\xff-]"
_OF_ADDRESS: Final = (
    # scheme://user:password@host; an @ within the password is part of it.
    r"[A-Za-z][A-Za-z0-9+.-]{1,20}://[A-Za-z0-9_%.~+$!*=\x80-\xff@-]{0,100}:"
    r"(?P<secret>[A-Za-z0-9_~+=!@#$%^*:?&.\x80-\xff-]{5,256})@[A-Za-z0-9\[]"
)
_OF_SIGNED: Final = (
    r"(?i:[?&;](?:amp;)?(?:X-Amz-Signature|X-Goog-Signature|X-Amz-Security-Token|sig)=)"
    r"(?P<secret>[A-Za-z0-9%/+=_.-]{40,})"
)
_OF_HEADER: Final = (
    r"(?i:\b(?:bearer|token|basic|bot|negotiate|apikey|api-key|splunk|genie_?key|sso-key)[ \t]{1,4})"
    r"(?P<secret>[A-Za-z0-9_~+/=:.-]{12,})"
)
_OF_NAME: Final = (
    rf"(?i:(?P<name>{KEY_NAMES}))"
    r"(?:\\{0,3}[\"'`]\]?)?[ \t]{0,8}(?:=>|:=|[=:]|\bis\b)[ \t]{0,8}(?:[brfu@$]?\\{0,3}[\"'`])?"
    rf"(?P<secret>{_VALUE}{{4,256}})"
)
BY_PLACE: Final = (
    Kind("password", (_OF_ADDRESS,)),
    Kind("signed address", (_OF_SIGNED,)),
    Kind("authorization", (_OF_HEADER,)),
    Kind("", (_OF_NAME,)),
)
"""Credentials that show by where they stand what they are; the last one's kind is its name's."""
