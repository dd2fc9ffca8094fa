"""`envserver keys`: make, list and revoke keys, set tenants' quotas; a running server follows the file by itself."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from envserver.cli.options import AsJson

if TYPE_CHECKING:
    from envserver.access.keys import KeyRecord

app = typer.Typer(no_args_is_help=True, help="Keys, their scopes and their tenants' quotas.")

KeysPath = Annotated[
    Path, typer.Option("--file", envvar="ENVSERVER_KEYS_FILE", show_envvar=True, help="The keys file; made if missing.")
]
Tenant = Annotated[str, typer.Option(help="Whose key it is.")]
Count = Annotated[int | None, typer.Option(min=0)]
DAY_S = 24 * 3600.0


@app.command()
def create(
    file: KeysPath,
    tenant: Tenant = "default",
    scope: Annotated[list[str] | None, typer.Option(help="read, episodes, metrics or admin; may be repeated.")] = None,
    expires_days: Annotated[float | None, typer.Option(min=0, help="Default: never.")] = None,
    note: Annotated[str, typer.Option(help="What it is for.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, once: the file keeps its hash alone."""
    from envserver.access.keys import KeysFile, hash_key, locked_keys, make_key, write_keys
    from envserver.access.tenants import Quotas
    from envserver.cli.output import fields, show

    now = time.time()
    key_id, key = make_key()
    record = _checked(
        id=key_id,
        hash=f"sha256:{hash_key(key).hex()}",
        tenant=tenant,
        scopes=scope or ["episodes"],
        created_at=now,
        expires_at=None if expires_days is None else now + expires_days * DAY_S,
        note=note,
    )
    with locked_keys(file) as content:
        tenants = {tenant: Quotas(), **content.tenants}
        write_keys(file, KeysFile(keys=(*content.keys, record), tenants=tenants))
    shown = {"key": key, **_document(record)}
    show(shown, as_json, lambda: fields({**shown, "scopes": ", ".join(sorted(record.scopes))}))


@app.command("list")
def list_(file: KeysPath, as_json: AsJson = False) -> None:
    """Keys, without their secrets, and the tenants' quotas."""
    from envserver.access.keys import read_keys
    from envserver.cli.output import ago, show, table

    content = read_keys(file)
    document = {
        "keys": [_document(record) for record in content.keys],
        "tenants": {name: quotas.model_dump() for name, quotas in sorted(content.tenants.items())},
    }
    rows = [
        (key.id, key.tenant, ", ".join(sorted(key.scopes)), _state(key), ago(key.created_at), key.note)
        for key in content.keys
    ]
    show(document, as_json, lambda: table(("id", "tenant", "scopes", "state", "made", "note"), rows))


@app.command()
def revoke(
    file: KeysPath, key_id: Annotated[str, typer.Argument(help="Its id, or the key.")], as_json: AsJson = False
) -> None:
    """Take a key back: servers refuse it within a second, on open connections too."""
    from envserver.access.keys import id_of, locked_keys, write_keys
    from envserver.cli.output import fields, show
    from envserver.cli.problems import CommandError, Exit

    wanted = id_of(key_id) or key_id
    with locked_keys(file) as content:
        found = next((record for record in content.keys if record.id == wanted), None)
        if found is None:
            raise CommandError(f"{file} has no key {wanted[:16]!r}", Exit.NOT_FOUND)
        revoked = found.model_copy(update={"revoked_at": found.revoked_at or time.time()})
        keys = tuple(revoked if record is found else record for record in content.keys)
        write_keys(file, content.model_copy(update={"keys": keys}))
    show(_document(revoked), as_json, lambda: fields({"id": revoked.id, "state": _state(revoked)}))


@app.command()
def tenant(
    file: KeysPath,
    name: str,
    max_episodes: Count = None,
    starts_per_minute: Annotated[float | None, typer.Option(min=0)] = None,
    cpu_s_per_hour: Annotated[float | None, typer.Option(min=0)] = None,
    disk_bytes: Count = None,
    max_checkpoints: Count = None,
    as_json: AsJson = False,
) -> None:
    """Set all quotas of a tenant; what is left out has no limit."""
    from pydantic import ValidationError

    from envserver.access.keys import KeysFile, locked_keys, write_keys
    from envserver.access.tenants import Quotas
    from envserver.cli.output import fields, show
    from envserver.cli.problems import CommandError, Exit

    try:
        quotas = Quotas(
            max_episodes=max_episodes, starts_per_minute=starts_per_minute, cpu_s_per_hour=cpu_s_per_hour,
            disk_bytes=disk_bytes, max_checkpoints=max_checkpoints,
        )  # fmt: skip
        with locked_keys(file) as content:
            write_keys(file, KeysFile(keys=content.keys, tenants={**content.tenants, name: quotas}))
    except ValidationError as error:
        raise CommandError(f"tenant {name!r}: {error.errors()[0]['msg']}", Exit.USAGE) from None
    document = {"tenant": name, **quotas.model_dump()}
    show(
        document,
        as_json,
        lambda: fields({key: "no limit" if value is None else value for key, value in document.items()}),
    )


def _checked(**members: object) -> KeyRecord:
    from pydantic import ValidationError

    from envserver.access.keys import KeyRecord
    from envserver.cli.problems import CommandError, Exit

    try:
        return KeyRecord.model_validate(members)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise CommandError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", Exit.USAGE) from None


def _document(record: KeyRecord) -> dict[str, object]:
    members = record.model_dump(mode="json", exclude={"hash"})
    return {**members, "scopes": sorted(record.scopes), "state": _state(record)}


def _state(record: KeyRecord) -> str:
    if record.revoked_at is not None:
        return "revoked"
    return "expired" if record.expires_at is not None and record.expires_at <= time.time() else "valid"
