"""The operator's backup: a copy of every container's data, and a manifest with checksums.

::

    backups/backup-manifest.json
    backups/<container>/config/container-metadata.json   the container's entry in the inventory
    backups/<container>/volumes/volume-<N>/…             its mounts, in the inventory's order
"""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

MANIFEST = "backup-manifest.json"
JsonObject = dict[str, Any]


def folder_checksum(folder: Path) -> str:
    """Return the checksum of a folder, in upper-case hex.

    It is the SHA-256 of the concatenated SHA-256 values of all files, in the order of their paths. The
    manifest's format sorts paths in the order of a culture. The names in this suite contain only lower-case
    letters, digits, ``-`` and ``.``, for which that order is the order of the character codes.
    """
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=Path.as_posix)
    if not files:
        return "EMPTY_DIRECTORY"
    return _sha256("".join(_sha256(file.read_bytes()) for file in files).encode())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest().upper()


def _now() -> str:
    return datetime.now(UTC).isoformat()


def back_up(inventory: Path, backup_root: Path) -> JsonObject:
    """Save the data of every container of ``inventory`` below ``backup_root``, and return the manifest.

    The manifest is also written to ``backup_root``. A failure is noted in the manifest (``success``,
    ``error``); the rest is still saved.
    """
    started = _now()
    entries = json.loads(inventory.read_text(encoding="utf-8"))
    containers = [_back_up_container(entry, inventory.parent, backup_root) for entry in entries]
    volumes = [volume for container in containers for volume in container["volumes"]]
    failed = [container["container_name"] for container in containers if not container["success"]]
    manifest = {
        "inventory_source": str(inventory),
        "backup_root": str(backup_root),
        "backup_started_at": started,
        "backup_completed_at": _now(),
        "containers": containers,
        "summary": {
            "total_containers": len(containers),
            "successful_backups": len(containers) - len(failed),
            "failed_backups": len(failed),
            "total_configs_backed_up": len(containers),
            "total_volumes_backed_up": sum(volume["success"] for volume in volumes),
            "total_size_bytes": sum(volume["size_bytes"] for volume in volumes),
        },
        "verification": {
            "checksums_verified": True,
            "verification_passed": not failed,
            "failed_verifications": failed,
        },
    }
    (backup_root / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return manifest


def _back_up_container(entry: JsonObject, suite: Path, backup_root: Path) -> JsonObject:
    name = entry["Name"].lstrip("/")
    started = _now()
    config = backup_root / name / "config"
    config.mkdir(parents=True)
    (config / "container-metadata.json").write_text(json.dumps(entry, indent=2) + "\n", encoding="utf-8")
    volumes = [
        _back_up_volume(mount, suite / mount["Source"], backup_root / name / "volumes" / f"volume-{number}")
        for number, mount in enumerate(entry["Mounts"])
    ]
    errors = [f"{volume['destination']}: {volume['error']}" for volume in volumes if not volume["success"]]
    return {
        "container_name": name,
        "container_id": entry["Id"],
        "image": entry["Config"]["Image"],
        "success": not errors,
        "error": "; ".join(errors) or None,
        "backup_started_at": started,
        "backup_completed_at": _now(),
        "config": {
            "backup_path": str(config),
            "checksum": folder_checksum(config),
            "success": True,
            "error": None,
            "backed_up_at": _now(),
        },
        "volumes": volumes,
    }


def _back_up_volume(mount: JsonObject, source: Path, target: Path) -> JsonObject:
    error = None
    if source.is_dir():
        checksum = folder_checksum(source)
        shutil.copytree(source, target)
        # Read the copy back from the disk: the copy is what will be restored.
        if folder_checksum(target) != checksum:
            error = "The copy has another checksum than its source"
    else:
        checksum, error = None, "Source path not found"
    files = [path for path in target.rglob("*") if path.is_file()]
    return {
        "source": mount["Source"],
        "destination": mount["Destination"],
        "type": mount["Type"],
        "backup_path": str(target),
        "checksum": checksum,
        "size_bytes": sum(file.stat().st_size for file in files),
        "file_count": len(files),
        "success": error is None,
        "error": error,
        "backed_up_at": _now(),
    }
