"""Content Credentials: the signed manifest of the C2PA standard, where a file has one."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

from pixelkin.provenance.claims import Claim, clean
from pixelkin.provenance.vocabulary import GENERATED_SOURCES, source_in_words

LARGEST_FILE = 64 << 20  # bytes: a manifest signs every one of them
INGREDIENTS = 8  # manifests of what a picture was made of that are told
WHERE = "C2PA"
NOT_INSTALLED = (
    "the file carries Content Credentials (C2PA), which were not read: pip install 'pixelkin[provenance]'"
)
STATES = {
    "Trusted": "the signature holds and its signer is trusted",
    "Valid": "the signature holds and the file is as it was signed; who signed is not checked against a list",
    "Invalid": "NOT valid: the file was altered after signing, or the manifest is damaged",
}
# A verdict must not tell anybody which pictures somebody looks at: nothing is fetched.
SETTINGS = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}


def carries_manifest(data: bytes) -> bool:
    """Whether the bytes look as if a manifest lay among them."""
    return b"jumb" in data and b"c2pa" in data


def read_manifest(data: bytes) -> tuple[list[Claim], list[str]]:
    """The claims of a file's manifest, and hints; neither where there is none.

    A manifest that lies elsewhere is not fetched. Damaged or hostile ones end in a hint.
    """
    if not carries_manifest(data):
        return [], []
    if len(data) > LARGEST_FILE:
        return [], [f"Content Credentials (C2PA) are read of files up to {LARGEST_FILE >> 20} MB only"]
    try:
        import c2pa
    except (ImportError, OSError, RuntimeError):  # it may be there without its native library
        return [], [NOT_INSTALLED]
    try:
        with c2pa.Context.from_dict(SETTINGS) as context:
            reader = c2pa.Reader.try_create(None, io.BytesIO(data), context=context)
            if reader is None:
                return [], []
            with reader:
                store = json.loads(reader.json())
                state = str(reader.get_validation_state())
        return list(_claims(store, state)), []
    except (c2pa.C2paError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        return [], [f"its Content Credentials (C2PA) cannot be read: {clean(error, 120)}"]


def _claims(store: dict[str, Any], state: str) -> Iterator[Claim]:
    manifests = store["manifests"]
    active = manifests[store["active_manifest"]]
    signature = active.get("signature_info") or {}
    signed_by = clean(signature.get("issuer") or signature.get("common_name") or "nobody named", 100)
    when = f", {clean(signature['time'], 40)}" if signature.get("time") else ""
    yield Claim(
        "Content Credentials", f"signed by {signed_by}{when}; {STATES.get(state, clean(state, 40))}", WHERE
    )
    if state not in {"Valid", "Trusted"}:
        return
    tools = [_tool(each) for each in active.get("claim_generator_info") or [active.get("claim_generator")]]
    if any(tools):
        yield Claim("Signed with", clean(", ".join(filter(None, tools))), WHERE)
    yield from _actions(active, "")
    others = [each for label, each in manifests.items() if label != store["active_manifest"]]
    for other in others[:INGREDIENTS]:
        yield from _actions(other, " of an ingredient")


def _actions(manifest: dict[str, Any], of: str) -> Iterator[Claim]:
    """What was done, once for each source type and each program."""
    told: set[tuple[str, str]] = set()
    for assertion in manifest.get("assertions") or []:
        if not str(assertion.get("label", "")).startswith("c2pa.actions"):
            continue
        for action in (assertion.get("data") or {}).get("actions") or []:
            source = str(action.get("digitalSourceType") or "").rsplit("/", 1)[-1]
            agent = _tool(action.get("softwareAgent"))
            if (source or agent) and (source, agent) not in told:
                told.add((source, agent))
                words = [source_in_words(source)] * bool(source) + [f"by {agent}"] * bool(agent)
                done = clean(f"{str(action.get('action', '')).removeprefix('c2pa.')}: {' '.join(words)}")
                yield Claim(f"History{of}", done, WHERE, source in GENERATED_SOURCES)


def _tool(named: object) -> str:
    """A program's name and version, whichever way a manifest gives them."""
    if isinstance(named, dict):
        return clean(f"{named.get('name', '')} {named.get('version') or ''}", 80)
    return clean(named or "", 80)
