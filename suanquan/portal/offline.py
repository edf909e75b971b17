"""One file that verifies receipts and vouchers with the network off: the page, its script and the public keys of this installation."""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ledger import base64url
from ledger.amount import BASE_ASSETS
from ledger.ed25519 import PublicKey
from ledger.entry import EntryKind
from metering.zones import rfc3339
from suanquan.note_keys import load_verifier_keys
from suanquan.portal.offline_text import TEXTS
from suanquan.service import Service

FILE_NAME = "suanquan-verify.html"
_PAGE = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined
).get_template("office/offline.html")
_SCRIPT = (Path(__file__).parent / "static/offline.js").read_text("utf-8")
_STYLE = """
:root { color-scheme: light dark; }
body { margin: 0; font: 1rem/1.6 system-ui, "PingFang SC", "Noto Sans CJK SC", "Microsoft YaHei", sans-serif; overflow-wrap: anywhere; }
main { max-width: 60rem; margin: 0 auto; padding: 1rem; }
label { display: block; margin-top: .75rem; font-weight: 600; }
textarea { width: 100%; font: .875rem/1.5 monospace; box-sizing: border-box; }
button { font: inherit; padding: .35rem 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border: 1px solid; padding: .35rem .5rem; text-align: left; vertical-align: top; }
#told:not(:empty) { border: 3px double; padding: 0 1rem 1rem; margin-top: 1rem; }
#told.differs, #told.cannot { border-style: dashed; }
dt { font-weight: 600; }
dd { margin: 0 0 .5rem; font-family: monospace; }
"""


def known_keys(service: Service) -> dict[str, Any]:
    """What the file trusts, and what it takes to name what a receipt holds. Vouchers of other algorithms cannot be checked by browsers."""
    keys = service.keys
    revoked = keys.revocations()
    return {
        "issuer": keys.issuer,
        "made": rfc3339(service.now_us // 1_000_000 * 1_000_000),
        "logs": [str(key) for key in load_verifier_keys(service.home.log_keys)],
        "witnesses": [str(one.key) for one in service.log.policy.witnesses.values()] if service.log.policy else [],
        "keys": [
            {"kid": kid, "x": base64url.encode(key.raw), "revoked_s": revoked.get(kid)}
            for kid, key in keys.all_keys().items()
            if isinstance(key, PublicKey)
        ],
        "kinds": {int(kind): kind.name for kind in EntryKind},
        "assets": {asset.number: {"code": asset.code, "scale": asset.scale} for asset in BASE_ASSETS},
    }


def offline_page(service: Service, language: str) -> str:
    """The file. It may run its own script alone, by hash, and may ask nobody anything."""
    known = known_keys(service)
    policy = f"default-src 'none'; script-src {_hashed(_SCRIPT)}; style-src {_hashed(_STYLE)}; base-uri 'none'; form-action 'none'"
    return _PAGE.render(
        language=language,
        t=TEXTS[language],
        policy=policy,
        known=known,
        known_json=_data(known),
        texts_json=_data(TEXTS),
        script=Markup(_SCRIPT),  # noqa: S704 -- our own file
        style=Markup(_STYLE),  # noqa: S704 -- our own text
    )


def _hashed(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _data(value: object) -> Markup:
    """JSON that no element of a page can end."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return Markup(text.replace("<", "\\u003c").replace("&", "\\u0026"))  # noqa: S704 -- nothing of it is markup any more
